//! The W3C's `traceparent`, read without trust. No I/O.

use std::fmt;
use std::str::FromStr;

/// Which trace a stream belongs to: the W3C's `traceparent` (Trace Context, level 1), as OpenTelemetry and others know it.
///
/// It travels with the stream from its submit to its handlers, through retries, re-queues, the dead letters and a redrive.
/// The W3C's `tracestate` doesn't: what follows a submit is linked to it, and no part of it.
///
/// # Examples
///
/// ```
/// use streamherd::TraceContext;
///
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context: TraceContext = text.parse()?;
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// # Ok::<(), streamherd::InvalidTraceContext>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
}

/// Something that is no W3C `traceparent`; the text says which rule it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a W3C traceparent: {0}; give one of the form 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower case"
)]
pub struct InvalidTraceContext(&'static str);

const SAMPLED: u8 = 1;

impl TraceContext {
    /// Bytes of version 00, and of that part of later versions that stays the same.
    pub(crate) const LENGTH: usize = 55;

    /// A context of ids that are known already; of the `flags` the lowest bit says that the trace is recorded.
    ///
    /// # Errors
    /// An id is all zeros.
    pub fn new(trace_id: [u8; 16], parent_id: [u8; 8], flags: u8) -> Result<Self, InvalidTraceContext> {
        if trace_id == [0; 16] {
            return Err(InvalidTraceContext("the trace id is all zeros"));
        }
        if parent_id == [0; 8] {
            return Err(InvalidTraceContext("the parent id is all zeros"));
        }
        Ok(Self {
            trace_id,
            parent_id,
            flags,
        })
    }

    /// Of a later version than 00 it is what version 00 says, as the W3C wants it.
    pub(crate) fn read(text: &[u8]) -> Result<Self, InvalidTraceContext> {
        let short = InvalidTraceContext("it is too short");
        let (head, rest) = text.split_at_checked(Self::LENGTH).ok_or(short)?;
        let mut parts = head.split(|byte| *byte == b'-');
        let mut part = || parts.next().unwrap_or_default();
        let [version] = hex(part()).ok_or(InvalidTraceContext("the version is not 2 lower-case hex digits"))?;
        let trace_id = hex(part()).ok_or(InvalidTraceContext("the trace id is not 32 lower-case hex digits"))?;
        let parent_id = hex(part()).ok_or(InvalidTraceContext("the parent id is not 16 lower-case hex digits"))?;
        let [flags] = hex(part()).ok_or(InvalidTraceContext("the flags are not 2 lower-case hex digits"))?;
        match (version, rest.first()) {
            (0, None) => Self::new(trace_id, parent_id, flags),
            (0, Some(_)) => Err(InvalidTraceContext("version 00 ends after the flags")),
            (0xff, _) => Err(InvalidTraceContext("there is no version ff")),
            (_, None | Some(b'-')) => Self::new(trace_id, parent_id, flags & SAMPLED),
            (_, Some(_)) => Err(InvalidTraceContext("what follows the flags begins with no dash")),
        }
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The span within it that the submit is part of.
    #[must_use]
    pub const fn parent_id(&self) -> [u8; 8] {
        self.parent_id
    }

    /// The flags as a byte; the lowest bit is [`is_sampled`](Self::is_sampled).
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the trace may have been recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text.as_bytes())
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace_id = u128::from_be_bytes(self.trace_id);
        let parent_id = u64::from_be_bytes(self.parent_id);
        write!(f, "00-{trace_id:032x}-{parent_id:016x}-{:02x}", self.flags)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({self})")
    }
}

impl serde::Serialize for TraceContext {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(text: &str) -> Result<TraceContext, InvalidTraceContext> {
        text.parse()
    }

    #[test]
    fn a_context_reads_back_as_it_was_written() {
        for flags in ["00", "01", "02", "03", "ff"] {
            let text = format!("{}{flags}", &PLAIN[..53]);
            let context = read(&text).unwrap();
            assert_eq!(context.to_string(), text);
            assert_eq!(context.is_sampled(), flags != "00" && flags != "02");
        }
        let context = read(PLAIN).unwrap();
        assert_eq!((context.trace_id()[0], context.trace_id()[15]), (0x0a, 0x9c));
        assert_eq!((context.parent_id()[0], context.flags()), (0xb7, 1));
        let same = TraceContext::new(context.trace_id(), context.parent_id(), 1);
        assert_eq!(same, Ok(context));
        assert_eq!(serde_json::to_value(context).unwrap(), PLAIN);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_this_one_goes() {
        for (version, flags, rest, known) in [
            ("01", "01", "", "01"),
            ("cc", "01", "-what-the-future-will-be-like", "01"),
            ("fe", "ff", "-", "01"),
            ("01", "fe", "", "00"),
        ] {
            let text = format!("{version}{}{flags}{rest}", &PLAIN[2..53]);
            let known = format!("{}{known}", &PLAIN[..53]);
            assert_eq!(read(&text).unwrap().to_string(), known, "{text}");
        }
    }

    #[test]
    fn what_is_none_says_which_rule_it_breaks() {
        let zeros = "0".repeat(32);
        for (text, rule) in [
            (String::new(), "too short"),
            (PLAIN[..54].to_owned(), "too short"),
            (format!("{PLAIN}-"), "version 00 ends"),
            (format!("{PLAIN}\n"), "version 00 ends"),
            (format!(" {PLAIN}"), "the version"),
            (format!("ff{}", &PLAIN[2..]), "no version ff"),
            (format!("0x{}", &PLAIN[2..]), "the version"),
            (format!("01{}x", &PLAIN[2..]), "begins with no dash"),
            (PLAIN.to_uppercase(), "the trace id is not"),
            (PLAIN.replace('-', "_"), "the version"),
            (PLAIN.replace("0af765", "0af7-5"), "the trace id is not"),
            (PLAIN.replace("b7ad6b", "b7ad6g"), "the parent id is not"),
            (PLAIN.replace("-01", "-0٣").replace("-01", ""), "the flags"),
            (format!("{}+1", &PLAIN[..53]), "the flags"),
            (PLAIN.replace(&PLAIN[3..35], &zeros), "trace id is all zeros"),
            (PLAIN.replace(&PLAIN[36..52], &zeros[..16]), "parent id is all zeros"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(
                error.contains(rule) && error.contains("of the form 00-"),
                "{text:?}: {error}"
            );
        }
    }
}
