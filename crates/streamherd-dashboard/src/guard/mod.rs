//! Who may ask, and what a browser may do with the answer.

mod headers;
mod hosts;
mod origin;
mod token;

pub(crate) use self::headers::set_headers;
pub(crate) use self::hosts::{Hosts, check_host};
pub(crate) use self::origin::check_origin;
pub(crate) use self::token::{Gate, Verdict, check_token};
