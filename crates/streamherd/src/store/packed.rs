//! Long lists in one argument or one reply, as Redis's `cmsgpack` reads and writes them: a string costs Redis and the client
//! library far less than as many arguments, or nested lists, do.

use std::fmt::{Display, Write as _};

use fred::types::Value;

use super::error::StoreError;
use super::reply::Reply;

/// An array that is being packed.
pub(super) struct Packer {
    bytes: Vec<u8>,
    scratch: String,
}

impl Packer {
    /// An array of so many items.
    pub(super) fn array(items: usize) -> Self {
        let mut bytes = Vec::with_capacity(16 * items + 8);
        // A Vec refuses nothing.
        let _ = rmp::encode::write_array_len(&mut bytes, u32::try_from(items).unwrap_or(u32::MAX));
        Self {
            bytes,
            scratch: String::new(),
        }
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        let _ = rmp::encode::write_str(&mut self.bytes, text);
        self
    }

    pub(super) fn display(&mut self, item: &impl Display) -> &mut Self {
        self.scratch.clear();
        let _ = write!(self.scratch, "{item}");
        let _ = rmp::encode::write_str(&mut self.bytes, &self.scratch);
        self
    }

    pub(super) fn packed(self) -> Value {
        Value::Bytes(self.bytes.into())
    }
}

/// What a script has packed, read without trust from the front.
pub(super) struct Unpacker<'a> {
    reply: Reply<'a>,
    rest: &'a [u8],
}

impl<'a> Unpacker<'a> {
    pub(super) fn of(reply: Reply<'a>) -> Result<Self, StoreError> {
        Ok(Self {
            rest: reply.bytes()?,
            reply,
        })
    }

    /// How many items follow that belong to a list.
    pub(super) fn list(&mut self) -> Result<usize, StoreError> {
        let length = rmp::decode::read_array_len(&mut self.rest);
        let length = length.map_err(|_| self.unexpected("a packed list"))?;
        // Each of them has a byte at least: what is said of their number must not make anybody make room for them.
        match usize::try_from(length) {
            Ok(length) if length <= self.rest.len() => Ok(length),
            _ => Err(self.unexpected("a packed list that is all there")),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        let length = rmp::decode::read_str_len(&mut self.rest).map_err(|_| self.unexpected("a packed text"))?;
        let (bytes, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length))
            .ok_or_else(|| self.unexpected("a packed text that is all there"))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, StoreError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.unexpected("packed UTF-8"))
    }

    pub(super) fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, StoreError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.unexpected(std::any::type_name::<T>()))
    }

    pub(super) fn number(&mut self) -> Result<i64, StoreError> {
        rmp::decode::read_int(&mut self.rest).map_err(|_| self.unexpected("a packed number"))
    }

    pub(super) fn unexpected(&self, wanted: &str) -> StoreError {
        self.reply.unexpected(wanted)
    }
}
