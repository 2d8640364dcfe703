//! Windows side by side: joining the series of several signals on labels.
