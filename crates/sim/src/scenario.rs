//! Known bugs of the field, told as directed runs (design.md §7).
