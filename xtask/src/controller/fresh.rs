//! Ids that nothing has yet.

use metadata_core::uuid::Uuid;

use crate::cli::Failure;

/// A random id, as Kafka makes them (`Uuid.randomUuid`): the bits of a version 4 UUID, none of the reserved ids, and no
/// leading `-`, which would look like an option.
///
/// # Errors
/// The operating system gives no random numbers.
pub fn fresh_uuid() -> Result<Uuid, Failure> {
    loop {
        let mut bytes = [0; 16];
        fresh_bytes(&mut bytes)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let id = Uuid::from_bytes(bytes);
        // The version bits keep it away from the reserved ids, whose first half is zero.
        if !id.to_string().starts_with('-') {
            return Ok(id);
        }
    }
}

/// Random bytes, for ids and salts.
///
/// # Errors
/// The operating system gives none.
pub fn fresh_bytes(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|error| {
        Failure::failed("the operating system gives no random numbers").why(error.to_string()).next("try again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_look_like_kafkas() {
        let (one, other) = (fresh_uuid().unwrap(), fresh_uuid().unwrap());
        assert_ne!(one, other);
        assert_eq!((one.as_bytes()[6] >> 4, one.as_bytes()[8] >> 6), (4, 2));
    }
}
