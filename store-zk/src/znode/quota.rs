//! Client quotas as texts in config nodes (Kafka: `QuotaConfigs.java`, `ZkConfigMigrationClient.scala`).

/// Entity type of users in records.
pub const USER: &str = "user";
/// Entity type of client ids in records.
pub const CLIENT_ID: &str = "client-id";
/// Entity type of IP addresses in records.
pub const IP: &str = "ip";

/// What a quota's text must look like for a ZooKeeper-mode broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaType {
    /// An integer of 64 bits.
    Long,
    /// An integer of 32 bits.
    Int,
    /// A fraction, as Java prints it.
    Double,
}

/// The quota's type on users, client ids and both together, `None` for a key that there is not.
pub fn user_or_client_quota(key: &str) -> Option<QuotaType> {
    match key {
        "producer_byte_rate" | "consumer_byte_rate" => Some(QuotaType::Long),
        "request_percentage" | "controller_mutation_rate" => Some(QuotaType::Double),
        _ => None,
    }
}

/// The quota's type on IP addresses, `None` for a key that there is not.
pub fn ip_quota(key: &str) -> Option<QuotaType> {
    match key {
        "connection_creation_rate" => Some(QuotaType::Int),
        _ => None,
    }
}

/// Kafka accepts values so close to an integer as that integer.
const INTEGER_TOLERANCE: f64 = 1e-6;

/// The text for a quota's value.
///
/// # Errors
/// Why ZooKeeper-mode brokers could not read it: a fraction or a large number where they want an integer, or no number.
pub fn text(quota: QuotaType, value: f64) -> Result<String, &'static str> {
    if value.is_nan() {
        return Err("the value is not a number");
    }
    let integer = |min: f64, max: f64| {
        let rounded = value.round();
        if !(min..=max).contains(&rounded) {
            Err("the value is out of range")
        } else if (rounded - value).abs() > INTEGER_TOLERANCE {
            Err("the value must be an integer in ZooKeeper")
        } else {
            // Saturates at the largest integer, whose nearest f64 is one above it.
            Ok((rounded as i64).to_string())
        }
    };
    match quota {
        QuotaType::Long => integer(i64::MIN as f64, i64::MAX as f64),
        QuotaType::Int => integer(f64::from(i32::MIN), f64::from(i32::MAX)),
        QuotaType::Double => Ok(java_double(value)),
    }
}

/// A number as Java's `Double.toString` prints it: `58.58`, `1.0`, `1.0E7`.
pub fn java_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_infinite() {
        return format!("{sign}Infinity");
    }
    if value == 0.0 {
        return format!("{sign}0.0");
    }
    // Rust prints the shortest digits that read back as the same number: `1.2345e4`.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let text = match exponent {
        0..=6 => {
            let before = exponent.unsigned_abs() as usize + 1;
            let padded = format!("{digits:0<before$}");
            let (whole, fraction) = padded.split_at(before);
            format!("{whole}.{}", or_zero(fraction))
        }
        -3..=-1 => {
            let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
            format!("0.{zeros}{digits}")
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            format!("{first}.{}E{exponent}", or_zero(rest))
        }
    };
    format!("{sign}{text}")
}

fn or_zero(fraction: &str) -> &str {
    if fraction.is_empty() { "0" } else { fraction }
}

/// A number in Java's syntax (`Double.parseDouble`): surrounding blanks, an exponent and a final `d` or `f` are allowed.
/// Hexadecimal floating point, which nobody writes into ZooKeeper, and `NaN` are refused.
pub fn parse(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if unsigned == "Infinity" {
        return Some(sign * f64::INFINITY);
    }
    let number = unsigned.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(unsigned);
    let decimal = number.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    // A second sign is no number in Java, and Rust would take it here.
    let signed = number.starts_with(['+', '-']);
    if !decimal || signed {
        return None;
    }
    number.parse::<f64>().ok().map(|value| sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_are_printed_as_java_prints_them() {
        let cases = [
            (58.58, "58.58"),
            (1.0, "1.0"),
            (10_000_000.0, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (1_234_567.25, "1234567.25"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.0123, "0.0123"),
            (0.000_999, "9.99E-4"),
            (0.5, "0.5"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (-2.5, "-2.5"),
            (100.0, "100.0"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in cases {
            assert_eq!(java_double(value), text);
            assert_eq!(parse(text).map(f64::to_bits), Some(value.to_bits()), "{text}");
        }
    }

    #[test]
    fn javas_syntax_is_read() {
        let cases = [
            ("1000", Some(1000.0)),
            ("1.0E7", Some(1e7)),
            ("1e-3", Some(0.001)),
            (" 5.\t", Some(5.0)),
            (".5", Some(0.5)),
            ("+7", Some(7.0)),
            ("1.5d", Some(1.5)),
            ("2F", Some(2.0)),
            ("", None),
            ("  ", None),
            ("d", None),
            ("abc", None),
            ("1,000", None),
            ("NaN", None),
            ("nan", None),
            ("inf", None),
            ("infinity", None),
            ("--1", None),
            ("-+1", None),
            ("0x1p3", None),
            ("1e", None),
            ("9".repeat(400).as_str(), Some(f64::INFINITY)),
        ]
        .map(|(text, value)| (text.to_owned(), value));
        for (text, value) in cases {
            assert_eq!(parse(&text), value, "{text:?}");
        }
    }

    #[test]
    fn integers_are_written_without_a_fraction() {
        assert_eq!(text(QuotaType::Long, 1000.0).as_deref(), Ok("1000"));
        assert_eq!(text(QuotaType::Long, 999.999_999_9).as_deref(), Ok("1000"));
        assert_eq!(text(QuotaType::Long, i64::MAX as f64).as_deref(), Ok("9223372036854775807"));
        assert_eq!(text(QuotaType::Int, 2_147_483_647.0).as_deref(), Ok("2147483647"));
        assert_eq!(text(QuotaType::Double, 10.0).as_deref(), Ok("10.0"));
    }

    #[test]
    fn what_a_broker_could_not_read_is_refused() {
        let cases = [
            (QuotaType::Long, 0.5),
            (QuotaType::Long, 1e30),
            (QuotaType::Long, f64::INFINITY),
            (QuotaType::Int, 2_147_483_648.0),
            (QuotaType::Int, 1.01),
            (QuotaType::Double, f64::NAN),
            (QuotaType::Long, f64::NAN),
        ];
        for (quota, value) in cases {
            assert!(text(quota, value).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_double_survives_the_round_trip(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(parse(&java_double(value)).map(f64::to_bits), Some(bits));
        }

        #[test]
        fn any_text_never_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
