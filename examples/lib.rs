//! Small programs that use streamherd: see the files beside this one.
