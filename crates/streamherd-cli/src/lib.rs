//! The streamherd command line.
