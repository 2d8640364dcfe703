//! The very pipeline over the past: tables, JSON and pictures.
