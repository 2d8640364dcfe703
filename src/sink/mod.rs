//! Where results are sent. An adapter, as `source` and `web` are: it does IO, and reads outcomes only as
//! every reader does, from the catalogue. Nothing here can hold up an evaluation.

pub mod alertmanager;
pub mod kafka;
pub mod remote_write;
