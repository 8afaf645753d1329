//! SCRAM credentials as texts in a user's config node (Kafka: `ScramCredentialUtils.java`). Errors never show them.

use metadata_core::image::ScramCredential;

use super::{Malformed, base64};

/// The mechanisms that ZooKeeper can hold: Kafka's code and the property's name.
pub const MECHANISMS: [(i8, &str); 2] = [(1, "SCRAM-SHA-256"), (2, "SCRAM-SHA-512")];

/// The name of the mechanism with this code.
pub fn mechanism_name(code: i8) -> Option<&'static str> {
    MECHANISMS.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// The code of the mechanism with this name.
pub fn mechanism_code(name: &str) -> Option<i8> {
    MECHANISMS.iter().find(|(_, known)| *known == name).map(|(code, _)| *code)
}

/// The text of a credential.
pub fn encode(credential: &ScramCredential) -> String {
    format!(
        "salt={},stored_key={},server_key={},iterations={}",
        base64::encode(&credential.salt),
        base64::encode(&credential.stored_key),
        base64::encode(&credential.server_key),
        credential.iterations,
    )
}

/// The credential in a text: four `key=value` pairs in any order.
///
/// # Errors
/// Another number of pairs, a key missing or twice, a value that is no base64 or no number.
pub fn decode(text: &str) -> Result<ScramCredential, Malformed> {
    let pairs: Vec<(&str, &str)> = text
        .split(',')
        .map(|pair| pair.split_once('='))
        .collect::<Option<_>>()
        .filter(|pairs: &Vec<_>| pairs.len() == 4)
        .ok_or_else(|| Malformed::new("a SCRAM credential has four pairs: salt, stored_key, server_key, iterations"))?;
    let value = |key: &str| {
        pairs
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| *value)
            .ok_or_else(|| Malformed::new(format!("`{key}` is missing from a SCRAM credential")))
    };
    let bytes = |key: &str| {
        base64::decode(value(key)?)
            .ok_or_else(|| Malformed::new(format!("`{key}` of a SCRAM credential is not base64")))
    };
    Ok(ScramCredential {
        salt: bytes("salt")?,
        stored_key: bytes("stored_key")?,
        server_key: bytes("server_key")?,
        iterations: value("iterations")?
            .parse()
            .map_err(|_| Malformed::new("`iterations` of a SCRAM credential is not an integer"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kafkas_form_is_read_and_written() {
        let text = "salt=c2FsdA==,stored_key=a2V5MQ==,server_key=a2V5Mg==,iterations=8192";
        let credential = decode(text).unwrap();
        assert_eq!(credential.salt, b"salt");
        assert_eq!(credential.stored_key, b"key1");
        assert_eq!(credential.server_key, b"key2");
        assert_eq!(credential.iterations, 8192);
        assert_eq!(encode(&credential), text);
        // Any order, and padding or not.
        assert_eq!(decode("iterations=8192,server_key=a2V5Mg,salt=c2FsdA,stored_key=a2V5MQ=="), Ok(credential));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let cases = [
            "",
            "salt=c2FsdA==",
            "salt=c2FsdA==,stored_key=a2V5MQ==,server_key=a2V5Mg==,iterations=8192,more=1",
            "salt=c2FsdA==,salt=c2FsdA==,server_key=a2V5Mg==,iterations=8192",
            "salt=c2FsdA==,stored_key=!,server_key=a2V5Mg==,iterations=8192",
            "salt=c2FsdA==,stored_key=a2V5MQ==,server_key=a2V5Mg==,iterations=many",
        ];
        for text in cases {
            let error = decode(text).unwrap_err().to_string();
            assert!(!error.contains("c2FsdA") && !error.contains("many"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_credential_survives_the_round_trip(
            salt: Vec<u8>, stored_key: Vec<u8>, server_key: Vec<u8>, iterations: i32,
        ) {
            let credential = ScramCredential { salt, stored_key, server_key, iterations };
            prop_assert_eq!(decode(&encode(&credential)), Ok(credential));
        }
    }
}
