//! Which partition a stream belongs to, reckoned independently of the library.

/// Its number, of so many.
pub(crate) fn of(stream: &str, partitions: u16) -> u16 {
    u16::try_from(crc32(stream.as_bytes()) % u32::from(partitions)).expect("less than a number of partitions")
}

/// The name, with a suffix where it takes one to be in that partition.
pub(crate) fn name_in(partition: u16, partitions: u16, name: &str) -> String {
    let others = (1..).map(|n: u32| format!("{name}.{n}"));
    std::iter::once(name.to_owned())
        .chain(others)
        .find(|name| of(name, partitions) == partition)
        .expect("there is no end of names")
}

/// A name as it was before it was made to share a partition.
#[must_use]
pub fn plain(name: &str) -> &str {
    name.split_once('.').map_or(name, |(plain, _)| plain)
}

/// CRC-32 as zlib has it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                (crc >> 1) ^ 0xEDB8_8320
            }
        })
    })
}
