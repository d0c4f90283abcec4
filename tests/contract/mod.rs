//! The guarantees, one file per part of the protocol. Test names are the sentences they prove.

mod work;
