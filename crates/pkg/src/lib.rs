//! What a program needs to run.
