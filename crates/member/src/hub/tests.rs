//! Hub told as stories.
