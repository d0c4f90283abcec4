//! Follows every example as its header says, each on servers of its own: what its blocks of `sh` say is what is run, and what its
//! blocks of `text` promise has to be seen. A line of a page that no test follows is a failure.

mod failing;
mod inventory;
mod lesson;
mod operating;
mod page;
mod places;
mod program;
mod workers;
