//! Deserializers that take what real servers send: `null`, numbers as text, text as numbers.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// `null` is the type's default.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// `null` is `true`, the Java default of a host's flags.
pub(super) fn or_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or(true))
}

/// A port that is not one becomes 0: one bad host must not hide the others of its service.
pub(super) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let text = Option::<Text>::deserialize(deserializer)?;
    Ok(text
        .and_then(|text| text.0.parse().ok())
        .unwrap_or_default())
}

/// A number, or text such as `"NaN"` (how Jackson writes what JSON cannot); anything else is NaN, which no one takes
/// for a weight; `null` is 1, the Java default.
pub(super) fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct Weight;
    impl<'de> Visitor<'de> for Weight {
        type Value = f64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a weight")
        }
        fn visit_f64<E>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }
        fn visit_i64<E>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }
        fn visit_u64<E>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }
        fn visit_str<E>(self, value: &str) -> Result<f64, E> {
            Ok(value.parse().unwrap_or(f64::NAN))
        }
        fn visit_bool<E>(self, _: bool) -> Result<f64, E> {
            Ok(f64::NAN)
        }
        fn visit_unit<E>(self) -> Result<f64, E> {
            Ok(1.0)
        }
    }
    deserializer.deserialize_any(Weight)
}

/// Finite weights as numbers, the others as the text that [`weight`] reads.
pub(super) fn write_weight<S: Serializer>(weight: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if weight.is_finite() {
        return serializer.serialize_f64(*weight);
    }
    let sign = if *weight < 0.0 { "-" } else { "" };
    let name = if weight.is_nan() { "NaN" } else { "Infinity" };
    serializer.collect_str(&format_args!("{sign}{name}"))
}

/// A map of text; values that are not text are written as text, `null` is empty.
pub(super) fn text_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct TextMap;
    impl<'de> Visitor<'de> for TextMap {
        type Value = BTreeMap<String, String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of text")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, Text>()? {
                found.insert(key, value.0);
            }
            Ok(found)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }
    }
    deserializer.deserialize_any(TextMap)
}

/// A scalar as text, whether it came as text, a number or a boolean; objects and lists are empty text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scalar")
            }
            fn visit_str<E>(self, value: &str) -> Result<Text, E> {
                Ok(Text(value.to_owned()))
            }
            fn visit_string<E>(self, value: String) -> Result<Text, E> {
                Ok(Text(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(String::new()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(String::new()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(String::new()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}
