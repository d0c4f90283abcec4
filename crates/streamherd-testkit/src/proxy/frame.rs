//! Where one RESP frame ends and the next begins, and what is in a request.

/// The bytes are not RESP. The proxy then only passes them on.
#[derive(Debug, PartialEq)]
pub(super) struct NotResp;

/// A request's arguments, and its length on the wire.
pub(super) type Request = (Vec<Vec<u8>>, usize);

/// The first request in `buf`, or `None` if it is not complete yet.
pub(super) fn request(buf: &[u8]) -> Result<Option<Request>, NotResp> {
    match buf.first() {
        None => return Ok(None),
        Some(b'*') => {}
        Some(_) => return inline_request(buf),
    }
    let Some((count, mut at)) = header(buf)? else {
        return Ok(None);
    };
    let mut args = Vec::new();
    for _ in 0..count.max(0) {
        match buf.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(_) => return Err(NotResp),
        }
        let Some(len) = frame_len(&buf[at..])? else {
            return Ok(None);
        };
        let frame = &buf[at..at + len];
        let start = line_len(frame).unwrap_or(len);
        args.push(frame[start..len.saturating_sub(2).max(start)].to_vec());
        at += len;
    }
    Ok(Some((args, at)))
}

/// The length of the first reply in `buf`, or `None` if it is not complete yet. Knows RESP3's types too, so that a client
/// which switches protocols is still followed.
pub(super) fn frame_len(buf: &[u8]) -> Result<Option<usize>, NotResp> {
    let Some(kind) = buf.first() else {
        return Ok(None);
    };
    let children = match kind {
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => return Ok(line_len(buf)),
        b'$' | b'!' | b'=' => {
            let Some((len, at)) = header(buf)? else {
                return Ok(None);
            };
            let end = usize::try_from(len).map_or(at, |len| at + len + 2);
            return Ok((buf.len() >= end).then_some(end));
        }
        b'*' | b'~' | b'>' => 1,
        b'%' => 2,
        // An attribute precedes the value that it belongs to, which is one more frame.
        b'|' => 2,
        _ => return Err(NotResp),
    };
    let Some((count, mut at)) = header(buf)? else {
        return Ok(None);
    };
    let count = count.max(0) * children + i64::from(*kind == b'|');
    for _ in 0..count {
        let Some(len) = frame_len(&buf[at..])? else {
            return Ok(None);
        };
        at += len;
    }
    Ok(Some(at))
}

/// Whether a frame is a RESP3 push, which answers no request.
pub(super) fn is_push(frame: &[u8]) -> bool {
    frame.first() == Some(&b'>')
}

fn inline_request(buf: &[u8]) -> Result<Option<Request>, NotResp> {
    if !buf[0].is_ascii_alphabetic() && !buf[0].is_ascii_whitespace() {
        return Err(NotResp);
    }
    let Some(end) = buf.iter().position(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    let args = buf[..end]
        .split(u8::is_ascii_whitespace)
        .filter(|arg| !arg.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    Ok(Some((args, end + 1)))
}

/// The number behind the type byte, and the length of its line.
fn header(buf: &[u8]) -> Result<Option<(i64, usize)>, NotResp> {
    let Some(len) = line_len(buf) else {
        return Ok(None);
    };
    let number = std::str::from_utf8(&buf[1..len - 2])
        .ok()
        .and_then(|number| number.parse().ok())
        .ok_or(NotResp)?;
    Ok(Some((number, len)))
}

/// The length of the first line with its end.
fn line_len(buf: &[u8]) -> Option<usize> {
    let end = buf.windows(2).position(|pair| pair == b"\r\n")?;
    Some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_where_its_last_element_ends() {
        let frames: [&[u8]; 12] = [
            b"+OK\r\n",
            b"-ERR no\r\n",
            b":-12\r\n",
            b"$-1\r\n",
            b"$0\r\n\r\n",
            b"$4\r\n\r\n\r\n\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n",
            b"%1\r\n+a\r\n*1\r\n_\r\n",
            b">2\r\n+a\r\n#t\r\n",
            b"|1\r\n+a\r\n+b\r\n$1\r\nc\r\n",
        ];
        for frame in frames {
            let followed = [frame, b"+NEXT\r\n"].concat();
            assert_eq!(frame_len(&followed), Ok(Some(frame.len())));
            for cut in 0..frame.len() {
                assert_eq!(frame_len(&frame[..cut]), Ok(None), "cut at {cut}");
            }
        }
        assert_eq!(frame_len(b"hello"), Err(NotResp));
    }

    #[test]
    fn a_request_is_read_only_when_it_is_complete() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n";
        let args = vec![b"GET".to_vec(), b"a\r\nb".to_vec()];
        assert_eq!(request(bytes), Ok(Some((args, bytes.len()))));
        for cut in 0..bytes.len() {
            assert_eq!(request(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        let args = vec![b"PING".to_vec(), b"x".to_vec()];
        assert_eq!(request(b"PING  x\r\n+"), Ok(Some((args, 9))));
        assert_eq!(request(b"\x16\x03\x01"), Err(NotResp));
    }
}
