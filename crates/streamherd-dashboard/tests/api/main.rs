//! The REST API against a real Redis: each answer is held against openapi.json as it comes.

mod acting;
mod guarding;
mod hostile;
mod looking;
mod mounting;
mod outages;
mod probing;
mod scale;
mod support;
mod watching;
