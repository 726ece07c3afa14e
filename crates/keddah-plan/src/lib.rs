//! Pure planning: desired and observed resources become a Plan of classified changes in waves.
