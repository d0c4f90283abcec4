//! Trace contexts as any producer can write them.

use bolero::check;

use super::shape::Text;
use crate::entry::{Fields, INPUT_FIELD};
use crate::trace::{self, TraceContext};

#[test]
fn any_bytes_are_a_trace_context_or_none() {
    check!(name = "traceparent")
        .with_iterations(10_000)
        .for_each(is_one_or_none);
}

#[test]
fn what_looks_like_a_trace_context_is_one_or_none() {
    let pieces = &[
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-",
        "01-",
        "ff-",
        "0af7651916cd43dd8448eb211c80319c",
        "00000000000000000000000000000000",
        "-b7ad6b7169203331-",
        "-0000000000000000-",
        "B7AD6B7169203331",
        "-",
        "00",
        "01",
        "+1",
        "-later",
        "٣",
        " ",
    ];
    check!(name = "traceparent_shaped")
        .with_iterations(20_000)
        .with_generator(Text { pieces, most: 6 })
        .for_each(|text| is_one_or_none(text));
}

fn is_one_or_none(text: &[u8]) {
    let read = TraceContext::read(text);
    assert_eq!(read.ok(), second_reader(text), "{:?}", text.escape_ascii().to_string());
    match read {
        Ok(context) => {
            let written = context.to_string();
            assert_eq!(written.parse(), Ok(context));
            assert!(
                text.starts_with(b"00") <= (written.as_bytes() == text),
                "it is carried as it is"
            );
            // What a script passes on is enough to tell.
            assert_eq!(TraceContext::read(&text[..text.len().min(56)]), Ok(context));
        }
        Err(e) => {
            assert!(e.to_string().starts_with("not a W3C traceparent: "));
            assert!(TraceContext::read(&text[..text.len().min(56)]).is_err());
        }
    }
    let fields: Fields = vec![
        (INPUT_FIELD.into(), br#"{"DataStreamName":"s"}"#.to_vec()),
        ("_sh_traceparent".into(), text.to_vec()),
        ("_sh_traceparent".into(), b"the first one counts".to_vec()),
    ];
    assert_eq!(trace::of(&fields), read.ok());
}

/// By position, as the W3C describes it.
fn second_reader(text: &[u8]) -> Option<TraceContext> {
    let number = |from: usize, to: usize| {
        let part = text.get(from..to)?;
        let lower = part.iter().all(|byte| b"0123456789abcdef".contains(byte));
        let part = std::str::from_utf8(part).ok().filter(|_| lower)?;
        u128::from_str_radix(part, 16).ok()
    };
    let (version, trace, parent, flags) = (number(0, 2)?, number(3, 35)?, number(36, 52)?, number(53, 55)?);
    let dashes = [2, 35, 52].iter().all(|at| text[*at] == b'-');
    let ends = match text.get(55) {
        None => version != 255,
        Some(byte) => version != 255 && version != 0 && *byte == b'-',
    };
    let flags = if version == 0 { flags } else { flags & 1 };
    let parent = u64::try_from(parent).ok()?.to_be_bytes();
    let context = TraceContext::new(trace.to_be_bytes(), parent, u8::try_from(flags).ok()?);
    context.ok().filter(|_| dashes && ends)
}
