//! Where Trusted Applications run: one module for each instance type.

pub mod process;
