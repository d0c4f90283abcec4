//! Many texts as one argument: Redis makes an object of each argument, the client library a value, and both cost more than
//! what is in it.

use std::io::Write as _;

/// What `cmsgpack.unpack` makes a list of strings of.
pub(super) struct Packed(Vec<u8>);

impl Packed {
    /// Of so many texts, which are to follow, each about so long.
    pub(super) fn list(count: usize, bytes_each: usize) -> Self {
        let mut packed = Vec::with_capacity(5 + count * (3 + bytes_each));
        packed.push(0xdd);
        packed.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
        Self(packed)
    }

    /// At most 64 KiB, of which what is more is cut off.
    pub(super) fn text(&mut self, text: std::fmt::Arguments<'_>) {
        let begin = self.0.len();
        self.0.extend_from_slice(&[0xda, 0, 0]);
        // Into memory, which does not fail.
        let _ = self.0.write_fmt(text);
        let bytes = u16::try_from(self.0.len() - begin - 3).unwrap_or(u16::MAX);
        self.0.truncate(begin + 3 + usize::from(bytes));
        for (at, byte) in self.0.iter_mut().skip(begin + 1).zip(bytes.to_be_bytes()) {
            *at = byte;
        }
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_what_cmsgpack_reads() {
        let mut packed = Packed::list(2, 1);
        packed.text(format_args!("{}-{}", 5, 1));
        packed.text(format_args!(""));
        assert_eq!(packed.bytes(), b"\xdd\0\0\0\x02\xda\0\x035-1\xda\0\0");
        let mut long = Packed::list(1, 0);
        long.text(format_args!("{}", "x".repeat(70_000)));
        let long = long.bytes();
        assert_eq!((long.len(), long.get(5..8)), (8 + 65_535, Some(&b"\xda\xff\xff"[..])));
    }
}
