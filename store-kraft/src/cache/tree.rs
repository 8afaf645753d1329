//! An image in sled trees.

use std::path::Path;

use metadata_core::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::VersionedRecord;
use serde::{Deserialize, Serialize};

use super::{BatchMark, Loaded};
use crate::codec::{self, Blob, Kind};

/// Key of the pointer to the present image, in sled's default tree.
const PRESENT: &[u8] = b"present";
/// Bytes of records in a value, at most but for a single record: sled puts values from about 128 KiB on elsewhere.
const VALUE_BYTES: usize = 64 * 1024;
/// Pages that sled keeps in memory.
const SLED_CACHE_BYTES: u64 = 32 << 20;

/// The pointer to the present image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Present {
    /// Counts the images that were stored; names the tree.
    generation: u64,
    values: u32,
    end_offset: i64,
    epoch: i32,
    /// Time of the image, which is also that of the batch that ends there.
    time_ms: i64,
    /// Checksum of that batch.
    batch_crc: u32,
}

/// Records that are stored together.
#[derive(Debug, Serialize, Deserialize)]
struct Value {
    frames: Vec<Blob>,
}

/// The database.
pub(super) struct Trees {
    database: sled::Db,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn tree_name(generation: u64) -> String {
    format!("image-{generation}")
}

impl Trees {
    pub(super) fn open(dir: &Path) -> Result<Self, String> {
        // Without its timer sled writes only when it is told to.
        let config = sled::Config::new().path(dir).cache_capacity(SLED_CACHE_BYTES).flush_every_ms(None);
        Ok(Self { database: config.open().map_err(text)? })
    }

    fn present(&self) -> Result<Option<Present>, String> {
        let Some(bytes) = self.database.get(PRESENT).map_err(text)? else { return Ok(None) };
        unseal(Kind::CachePosition, &bytes).map(Some)
    }

    /// The present image, unless there is none or it ends past `latest` (exclusive end).
    pub(super) fn load(&self, latest: Offset) -> Result<Option<Loaded>, String> {
        let Some(present) = self.present()?.filter(|present| present.end_offset <= latest.0) else { return Ok(None) };
        let tree = self.database.open_tree(tree_name(present.generation)).map_err(text)?;
        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        for number in 0..present.values {
            let bytes = tree.get(number.to_be_bytes()).map_err(text)?;
            let bytes = bytes.ok_or_else(|| format!("value {number} of {} is missing", present.values))?;
            let value: Value = unseal(Kind::CacheValue, &bytes)?;
            for frame in value.frames {
                let record = VersionedRecord::decode(&frame.0).map_err(text)?;
                delta.replay(&record.record).map_err(text)?;
            }
        }
        let position = Position { epoch: KRaftLeaderEpoch(present.epoch), end_offset: Offset(present.end_offset) };
        let time = TimestampMs(present.time_ms);
        Ok(Some(Loaded { image: delta.apply(position, time), mark: (time, present.batch_crc) }))
    }

    /// Stores an image beside the present one, then points to it, then removes the one before.
    pub(super) fn store(&self, image: &MetadataImage, mark: BatchMark) -> Result<(), String> {
        let before = self.present()?.map(|present| present.generation);
        let generation = before.map_or(0, |generation| generation.wrapping_add(1));
        // What an interrupted store left behind.
        self.database.drop_tree(tree_name(generation)).map_err(text)?;
        let tree = self.database.open_tree(tree_name(generation)).map_err(text)?;
        let mut values = 0u32;
        let (mut value, mut bytes) = (Value { frames: Vec::new() }, 0);
        let mut put = |value: &mut Value| {
            if value.frames.is_empty() {
                return Ok(());
            }
            tree.insert(values.to_be_bytes(), seal(Kind::CacheValue, value)?).map_err(text)?;
            values += 1;
            value.frames.clear();
            Ok::<_, String>(())
        };
        // Nobody else reads the cache: it holds records in their newest form, where nothing of an image is lost.
        for record in image.to_records_at(MetadataVersion::HIGHEST).map_err(text)? {
            let mut frame = Vec::new();
            record.encode(&mut frame).map_err(text)?;
            if bytes + frame.len() > VALUE_BYTES {
                put(&mut value)?;
                bytes = 0;
            }
            bytes += frame.len();
            value.frames.push(Blob(frame.into()));
        }
        put(&mut value)?;
        let position = image.position();
        let present = Present {
            generation,
            values,
            end_offset: position.end_offset.0,
            epoch: position.epoch.0,
            time_ms: mark.0.0,
            batch_crc: mark.1,
        };
        tree.flush().map_err(text)?;
        self.database.insert(PRESENT, seal(Kind::CachePosition, &present)?).map_err(text)?;
        self.database.flush().map_err(text)?;
        if let Some(before) = before {
            self.database.drop_tree(tree_name(before)).map_err(text)?;
        }
        Ok(())
    }
}

/// A value behind its checksum: sled's own is checked only when it reads a page anew.
fn seal<T: Serialize>(kind: Kind, value: &T) -> Result<Vec<u8>, String> {
    let encoded = codec::encode(kind, value).map_err(text)?;
    let mut bytes = crc32c::crc32c(&encoded).to_be_bytes().to_vec();
    bytes.extend(encoded);
    Ok(bytes)
}

fn unseal<T: serde::de::DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, String> {
    let (stored, encoded) = bytes.split_first_chunk::<4>().ok_or("a value is cut off")?;
    if *stored != crc32c::crc32c(encoded).to_be_bytes() {
        return Err("a value's checksum is wrong".to_owned());
    }
    codec::decode(kind, encoded).map_err(text)
}
