//! The name of a data stream, out of JSON that may be cut off.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

/// The data stream's name, as far as the beginning of an entry's JSON says it.
pub(crate) fn name_of(json: &[u8]) -> Option<String> {
    struct Finder<'a>(&'a mut Option<String>);

    impl<'de> Visitor<'de> for Finder<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<String>()? {
                if key == "DataStreamName" {
                    *self.0 = Some(map.next_value()?);
                    break;
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }

    let mut name = None;
    // What comes after the name may be cut off, which is an error that doesn't matter.
    let _ = serde_json::Deserializer::from_slice(json).deserialize_map(Finder(&mut name));
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_beginning_of_an_entry_tells_its_name_if_that_comes_early() {
        let told = [
            r#"{"DataStreamName":"\u00fc \"1\"","Info":{"x":[1,"#,
            r#" { "Info": {"DataStreamName": "inner"}, "DataStreamName" : "ü \"1\"" "#,
        ];
        for text in told {
            assert_eq!(name_of(text.as_bytes()).as_deref(), Some("ü \"1\""), "{text}");
        }
        let cut = "{\"DataStreamName\":\"a\",\"Info\":\"\u{fc}".as_bytes();
        assert_eq!(name_of(&cut[..cut.len() - 1]).as_deref(), Some("a"));
        for text in [
            "",
            "[]",
            "{",
            r#"{"DataStreamName":7}"#,
            r#"{"DataStreamName":"a"#,
            r#"{"Info":"x"#,
        ] {
            assert_eq!(name_of(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_tell_a_name_or_none(json in any::<Vec<u8>>(), cut in 0_usize..80, name in "\\PC{0,20}") {
            let _ = name_of(&json);
            let text = serde_json::json!({"DataStreamName": name}).to_string();
            let told = name_of(text.as_bytes().get(..cut).unwrap_or(text.as_bytes()));
            prop_assert!(told.is_none_or(|told| told == name));
        }
    }
}
