//! The simulator itself: the same seed is the same history, known bugs are found, and the code has none of them.

use super::*;
