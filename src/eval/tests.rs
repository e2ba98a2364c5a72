//! Invented rows; the development sets where `../shared/data` is there.
