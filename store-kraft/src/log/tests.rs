use std::fs;
use std::path::{Path, PathBuf};

use metadata_core::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs, TopicId};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::record::{
    AbortTransactionRecord, BeginTransactionRecord, DelegationTokenRecord, FeatureLevelRecord, MetadataRecord,
    NoOpRecord, SnapshotFooterRecord, SnapshotHeaderRecord, TopicRecord, VersionedRecord,
};
use metadata_core::uuid::Uuid;
use proptest::prelude::*;

use super::damage::LogError;
use super::dump::{Dump, DumpItem, RecordContent, Unreadable};
use super::epochs::Epochs;
use super::layout::SnapshotId;
use super::segment::BatchReader;
use super::snapshot::{SnapshotReader, SnapshotWriter, list_snapshots, remove_unfinished, write_snapshot};
use super::writer::{Cut, Kept, LogWriter};
use crate::batch::{Batch, BatchBuilder, BatchHeader, HEADER_LEN, place};
use crate::disk::Disk;

const TIME: TimestampMs = TimestampMs(1_700_000_000_000);

fn batch(base: i64, epoch: i32, records: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::data(TIME);
    for _ in 0..records {
        let mut frame = Vec::new();
        VersionedRecord::new(NoOpRecord::default(), 0).encode(&mut frame).unwrap();
        builder.push(&frame).unwrap();
    }
    builder.finish(Offset(base), KRaftLeaderEpoch(epoch))
}

fn append(log: &mut LogWriter, epoch: i32, records: usize) {
    let bytes = batch(log.end().0, epoch, records);
    log.append(&BatchHeader::parse(&bytes).unwrap(), &bytes).unwrap();
}

const EMPTY: Kept<'static> = Kept { end: Offset(0), epochs: &Epochs::EMPTY, restarted_at: Offset(0) };

/// Small segments, so that there are several.
const SEGMENT_BYTES: u64 = 300;

fn open(dir: &Path, keep_until: i64) -> Result<(LogWriter, Option<Cut>), LogError> {
    let mut epochs = Epochs::default();
    for bytes in files(dir).iter().map(|file| fs::read(file).unwrap()) {
        let mut rest = &bytes[..];
        while let Ok(batch) = Batch::parse(rest) {
            epochs.observe(batch.header().epoch, batch.header().base_offset);
            rest = &rest[batch.bytes().len()..];
        }
    }
    open_with(dir, keep_until, &epochs)
}

fn open_with(dir: &Path, keep_until: i64, epochs: &Epochs) -> Result<(LogWriter, Option<Cut>), LogError> {
    LogWriter::open(
        &Disk::default(),
        dir,
        SEGMENT_BYTES,
        Kept { end: Offset(keep_until), epochs, restarted_at: Offset(0) },
    )
}

/// A log of 30 offsets: ten batches of three records of epochs 1 and 4, a few to a segment.
fn written() -> (tempfile::TempDir, LogWriter) {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, cut) = open(dir.path(), 0).unwrap();
    assert_eq!(cut, None);
    for index in 0..10 {
        append(&mut log, if index < 6 { 1 } else { 4 }, 3);
    }
    log.sync().unwrap();
    (dir, log)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn whole(dir: &Path) -> Vec<u8> {
    files(dir).iter().flat_map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn a_log_is_found_again_as_it_was_written() {
    let (dir, written) = written();
    let bytes = whole(dir.path());
    assert!(files(dir.path()).len() > 2);
    let (log, cut) = open(dir.path(), 30).unwrap();
    assert_eq!(cut, None);
    assert_eq!((log.start(), log.end()), (Offset(0), Offset(30)));
    assert_eq!(log.epochs(), written.epochs());
    assert_eq!(log.epochs().as_slice(), [(KRaftLeaderEpoch(1), Offset(0)), (KRaftLeaderEpoch(4), Offset(18))]);
    assert_eq!(whole(dir.path()), bytes);
}

#[test]
fn what_lies_behind_the_kept_end_is_cut() {
    for keep in (0..=30).step_by(3) {
        let (dir, _) = written();
        let bytes = whole(dir.path());
        let (mut log, cut) = open(dir.path(), keep).unwrap();
        let kept = whole(dir.path());
        assert_eq!(kept, bytes[..kept.len()], "keep {keep}");
        assert_eq!(cut.map_or(0, |cut| cut.bytes) as usize, bytes.len() - kept.len(), "keep {keep}");
        assert_eq!(log.end(), Offset(keep));
        append(&mut log, 4, 3);
        assert_eq!(log.end(), Offset(keep + 3));
        drop(log);
        assert_eq!(open(dir.path(), keep + 3).unwrap().1, None);
    }
}

#[test]
fn a_torn_tail_behind_the_kept_end_is_cut_at_every_byte_and_reported() {
    let (dir, _) = written();
    let last = files(dir.path()).pop().unwrap();
    let sound = fs::read(&last).unwrap();
    let size = batch(0, 1, 3).len();
    for cut_at in sound.len() - size + 1..sound.len() {
        fs::write(&last, &sound[..cut_at]).unwrap();
        let (_, cut) = open(dir.path(), 27).unwrap();
        let torn = cut.unwrap().torn.unwrap();
        assert_eq!(torn.file, last);
        assert_eq!(torn.position as usize, sound.len() - size);
        assert_eq!(torn.offset, Some(Offset(27)));
        assert!(torn.reason.contains("the batch ends after"), "{torn}");
        fs::write(&last, &sound).unwrap();
    }
}

#[test]
fn damage_before_the_kept_end_is_refused_with_its_place() {
    let (dir, log) = written();
    for file in files(dir.path()) {
        let sound = fs::read(&file).unwrap();
        for at in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[at] ^= 0x40;
            fs::write(&file, damaged).unwrap();
            let opened = open_with(dir.path(), 30, log.epochs());
            let Err(LogError::Damage(damage)) = opened else { panic!("byte {at} of {file:?}") };
            assert_eq!(damage.file, file, "byte {at}");
            let size = batch(0, 1, 3).len();
            assert_eq!(damage.position as usize, at / size * size, "byte {at}: {damage}");
        }
        fs::write(&file, sound).unwrap();
    }
}

#[test]
fn a_log_that_ends_too_early_or_misses_a_segment_is_refused() {
    let (dir, _) = written();
    let Err(LogError::Damage(damage)) = open(dir.path(), 33) else { panic!() };
    assert!(damage.reason.contains("synced up to offset 33"), "{damage}");
    assert_eq!(damage.offset, Some(Offset(30)));

    fs::remove_file(&files(dir.path())[1]).unwrap();
    let Err(LogError::Damage(damage)) = open(dir.path(), 30) else { panic!() };
    assert!(damage.reason.contains("the one before ends at"), "{damage}");
}

#[test]
fn a_kept_end_within_a_batch_is_refused() {
    let (dir, _) = written();
    let Err(LogError::Damage(damage)) = open(dir.path(), 28) else { panic!() };
    assert!(damage.reason.contains("reaches past offset 28"), "{damage}");
}

#[test]
fn cutting_back_undoes_what_was_appended_since() {
    let (dir, mut log) = written();
    let before = whole(dir.path());
    let epochs = log.epochs().clone();
    let mark = log.mark();
    for _ in 0..6 {
        append(&mut log, 5, 3);
    }
    log.cut_back(mark).unwrap();
    assert_eq!(whole(dir.path()), before);
    assert_eq!((log.end(), log.epochs()), (Offset(30), &epochs));
    append(&mut log, 4, 3);
    log.sync().unwrap();
    drop(log);
    assert_eq!(open(dir.path(), 33).unwrap().1, None);

    // From an empty log too.
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), 0).unwrap();
    let mark = log.mark();
    append(&mut log, 1, 3);
    log.cut_back(mark).unwrap();
    assert_eq!((files(dir.path()).len(), log.end()), (0, Offset(0)));
    append(&mut log, 1, 3);
}

#[test]
fn a_batch_is_located_from_every_offset() {
    let (_dir, log) = written();
    for offset in 0..30 {
        let (file, position) = log.segments().locate(Offset(offset)).unwrap();
        let mut reader = BatchReader::open(&file, position).unwrap();
        loop {
            let header = *reader.next(None).unwrap().unwrap().header();
            assert!(header.base_offset <= Offset(offset));
            if header.end_offset() > Offset(offset) {
                break;
            }
        }
    }
}

#[test]
fn old_segments_are_removed_up_to_an_offset_but_never_the_last() {
    let (dir, mut log) = written();
    let count = files(dir.path()).len();
    assert_eq!(log.remove_before(Offset(0)).unwrap(), Offset(0));
    let start = log.remove_before(Offset(14)).unwrap();
    assert!(start > Offset(0) && start <= Offset(14));
    assert_eq!(log.segments().locate(Offset(0)), None);
    assert!(log.segments().locate(start).is_some());
    assert!(files(dir.path()).len() < count);
    assert_eq!(log.epochs().as_slice().first(), Some(&(KRaftLeaderEpoch(1), start)));
    log.remove_before(Offset(1000)).unwrap();
    assert_eq!(files(dir.path()).len(), 1);
    let (start, end) = (log.start(), log.end());
    drop(log);
    let (log, _) = open(dir.path(), 30).unwrap();
    assert_eq!((log.start(), log.end()), (start, end));
    assert_eq!(log.epochs().as_slice(), [(KRaftLeaderEpoch(4), start)]);
}

#[test]
fn segments_from_before_a_restart_go() {
    let (dir, log) = written();
    let epochs = log.epochs().clone();
    drop(log);
    let kept = Kept { end: Offset(77), epochs: &epochs, restarted_at: Offset(77) };
    let (mut log, cut) = LogWriter::open(&Disk::default(), dir.path(), SEGMENT_BYTES, kept).unwrap();
    assert_eq!((cut, log.start(), log.end(), files(dir.path()).len()), (None, Offset(77), Offset(77), 0));
    append(&mut log, 4, 3);
    assert_eq!(log.start(), Offset(77));
}

#[test]
fn a_full_disk_is_an_error_that_names_the_segment() {
    let dir = tempfile::tempdir().unwrap();
    let size = batch(0, 1, 3).len() as u64;
    let disk = Disk::with_room(2 * size + 10);
    let (mut log, _) = LogWriter::open(&disk, dir.path(), 1 << 20, EMPTY).unwrap();
    append(&mut log, 1, 3);
    append(&mut log, 1, 3);
    let bytes = batch(6, 1, 3);
    let error = log.append(&BatchHeader::parse(&bytes).unwrap(), &bytes).unwrap_err();
    assert!(error.to_string().contains("00000000000000000000.log"), "{error}");
    assert_eq!(log.end(), Offset(6), "the failed batch is not part of the log");
    drop(log);
    let (_, cut) = open(dir.path(), 6).unwrap();
    assert!(cut.unwrap().torn.is_some());
}

fn image(topics: usize) -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    let feature = FeatureLevelRecord { name: "metadata.version".into(), feature_level: 21, ..Default::default() };
    delta.replay(&feature.into()).unwrap();
    for index in 0..topics {
        let topic_id = TopicId(Uuid::from_u64_pair(9, index as u64));
        delta.replay(&TopicRecord { name: format!("topic-{index}"), topic_id, ..Default::default() }.into()).unwrap();
    }
    delta.apply(Position::after(Offset(41), KRaftLeaderEpoch(3)), TIME)
}

#[test]
fn a_snapshot_gives_the_image_back() {
    let dir = tempfile::tempdir().unwrap();
    // More than two batches of records.
    let image = image(2500);
    let id = write_snapshot(&Disk::default(), dir.path(), &image).unwrap();
    assert_eq!(id.file_name(), "00000000000000000042-0000000003.checkpoint");
    assert_eq!(list_snapshots(dir.path()).unwrap(), [id]);
    let path = dir.path().join(id.file_name());
    let read = SnapshotReader::open(&path).unwrap().load(id.position()).unwrap();
    assert!(read.same_metadata(&image));
    assert_eq!((read.position(), read.timestamp()), (image.position(), TIME));

    let again = tempfile::tempdir().unwrap();
    write_snapshot(&Disk::default(), again.path(), &image).unwrap();
    assert_eq!(whole(again.path()), whole(dir.path()), "the same image gives the same bytes");
}

#[test]
fn a_snapshot_that_would_lose_something_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut delta = MetadataDelta::new(&image(3));
    let feature = FeatureLevelRecord { name: "metadata.version".into(), feature_level: 13, ..Default::default() };
    delta.replay(&feature.into()).unwrap();
    delta.replay(&DelegationTokenRecord { token_id: "t1".into(), ..Default::default() }.into()).unwrap();
    let image = delta.apply(image(3).position(), TIME);
    let error = write_snapshot(&Disk::default(), dir.path(), &image).unwrap_err().to_string();
    assert!(error.contains("the delegation token \"t1\" can't be written at metadata.version 3.6-IV1"), "{error}");
    assert_eq!(files(dir.path()).len(), 0, "nothing of it lies around");
}

#[test]
fn a_snapshot_with_a_transaction_in_it_is_refused() {
    let topic: MetadataRecord = TopicRecord { name: "aborted".into(), ..Default::default() }.into();
    let records: [MetadataRecord; 3] =
        [BeginTransactionRecord::default().into(), topic, AbortTransactionRecord::default().into()];
    for first in 0..records.len() {
        let dir = tempfile::tempdir().unwrap();
        let id = SnapshotId::from(image(0).position());
        let mut writer = SnapshotWriter::create(&Disk::default(), dir.path(), id, TIME).unwrap();
        for record in &records[first..] {
            writer.push(&VersionedRecord { record: record.clone(), version: 0 }).unwrap();
        }
        writer.finish().unwrap();
        let loaded = SnapshotReader::open(&dir.path().join(id.file_name())).unwrap().load(id.position());
        assert!(
            matches!(&loaded, Err(LogError::Damage(damage)) if damage.reason.contains("a transaction has no place here")),
            "{loaded:?}"
        );
    }
}

#[test]
fn a_snapshot_that_is_cut_or_flipped_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let id = write_snapshot(&Disk::default(), dir.path(), &image(3)).unwrap();
    let path = dir.path().join(id.file_name());
    let sound = fs::read(&path).unwrap();
    let load = || SnapshotReader::open(&path).and_then(|reader| reader.load(id.position()));
    for cut in 0..sound.len() {
        fs::write(&path, &sound[..cut]).unwrap();
        assert!(matches!(load(), Err(LogError::Damage(_))), "cut at {cut}");
    }
    for at in 0..sound.len() {
        let mut flipped = sound.clone();
        flipped[at] ^= 1;
        fs::write(&path, flipped).unwrap();
        // The checksum does not cover the epoch of a batch, and nothing in a snapshot depends on it.
        assert!(load().is_err() || (12..16).contains(&(at % sound.len())) || epoch_field(&sound, at), "byte {at}");
    }
    let mut longer = sound.clone();
    longer.extend(batch(100, 3, 1));
    fs::write(&path, longer).unwrap();
    assert!(matches!(load(), Err(LogError::Damage(damage)) if damage.reason.contains("follows the footer")));
}

/// Whether the byte belongs to the epoch field of any of a file's batches.
fn epoch_field(bytes: &[u8], at: usize) -> bool {
    let mut start = 0;
    while let Ok(batch) = Batch::parse(&bytes[start..]) {
        if (start + 12..start + 16).contains(&at) {
            return true;
        }
        start += batch.bytes().len();
    }
    false
}

#[test]
fn an_unfinished_snapshot_is_never_found_and_gets_removed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let image = image(10);
    let mut writer = SnapshotWriter::create(&disk, dir.path(), image.position().into(), TIME).unwrap();
    for record in image.to_records().unwrap() {
        writer.push(&record).unwrap();
    }
    // As when the process is killed.
    std::mem::forget(writer);
    assert_eq!(list_snapshots(dir.path()).unwrap(), []);
    assert_eq!(files(dir.path()).len(), 1);
    remove_unfinished(&disk, dir.path()).unwrap();
    assert_eq!(files(dir.path()).len(), 0);
}

#[test]
fn a_dump_shows_every_record_and_goes_on_after_damage() {
    let (dir, _) = written();
    let offsets = |items: Vec<DumpItem>| -> (Vec<i64>, usize) {
        let mut damage = 0;
        let mut offsets = Vec::new();
        for item in items {
            match item {
                DumpItem::Batch(batch) => {
                    for record in batch.records {
                        assert!(matches!(record.content, Ok(RecordContent::Metadata(_))));
                        offsets.push(record.offset.0);
                    }
                }
                DumpItem::Damage(_) => damage += 1,
            }
        }
        (offsets, damage)
    };
    let dump = || Dump::open(dir.path()).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(offsets(dump()), ((0..30).collect(), 0));

    let second = &files(dir.path())[1];
    let mut bytes = fs::read(second).unwrap();
    let size = batch(0, 1, 3).len();
    bytes[size + 30] ^= 1;
    fs::write(second, bytes).unwrap();
    let (seen, damage) = offsets(dump());
    assert_eq!(damage, 1);
    assert!(seen.contains(&29), "later segments are still shown");
    assert!(seen.len() < 30);
}

/// A batch of frames, known or not.
fn batch_of(base: i64, frames: &[&[u8]]) -> Vec<u8> {
    let mut builder = BatchBuilder::data(TIME);
    frames.iter().for_each(|frame| builder.push(frame).unwrap());
    builder.finish(Offset(base), KRaftLeaderEpoch(1))
}

/// A control batch whose only record is of this type.
fn control_of(base: i64, record_type: i16) -> Vec<u8> {
    let mut builder = BatchBuilder::control(TIME);
    builder.push_control(&SnapshotFooterRecord::default().into()).unwrap();
    let mut bytes = builder.finish(Offset(base), KRaftLeaderEpoch(1));
    // Behind the header: length, attributes, two deltas, the key's length, the key's version.
    let at = HEADER_LEN + 7;
    bytes[at..at + 2].copy_from_slice(&record_type.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

const NO_OP: &[u8] = &[1, 20, 0, 0];

#[test]
fn records_of_a_newer_kafka_are_dumped_by_number_and_those_behind_them_are_read() {
    let dir = tempfile::tempdir().unwrap();
    // Types 30 and 300, version 9 of a type that we know, and one of ours that is cut off.
    let frames: [&[u8]; 6] = [&[1, 30, 0, 5, 5], NO_OP, &[1, 20, 9, 1], &[1, 0xac, 2, 4], &[1, 2, 0], NO_OP];
    let log = [batch_of(0, &frames), control_of(6, 9), batch_of(7, &[NO_OP])].concat();
    fs::write(dir.path().join("00000000000000000000.log"), log).unwrap();

    let mut seen = Vec::new();
    for item in Dump::open(dir.path()).unwrap() {
        let DumpItem::Batch(batch) = item.unwrap() else { panic!("nothing is damaged") };
        for record in batch.records {
            let said = match record.content {
                Ok(RecordContent::Metadata(record)) => record.record.name().to_owned(),
                Ok(RecordContent::Control(record)) => record.name().to_owned(),
                Err(Unreadable::Unknown(unknown)) => format!("{unknown}, {} bytes", record.value_len),
                Err(Unreadable::Damaged(error)) => error.to_string(),
            };
            seen.push((record.offset.0, said));
        }
    }
    let expected = [
        "record type 30 version 0, 5 bytes",
        "NO_OP_RECORD",
        "record type 20 version 9, 4 bytes",
        "record type 300 version 4, 4 bytes",
        "TopicRecord.name at byte 3: 1 more bytes are needed, 0 are left",
        "NO_OP_RECORD",
        "control record type 9, 3 bytes",
        "NO_OP_RECORD",
    ];
    assert_eq!(seen, (0..).zip(expected.map(str::to_owned)).collect::<Vec<_>>());
}

#[test]
fn an_image_is_never_made_without_a_record_that_is_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let header = |timestamp| {
        let mut builder = BatchBuilder::control(TIME);
        let header = SnapshotHeaderRecord { last_contained_log_timestamp: timestamp, ..Default::default() };
        builder.push_control(&header.into()).unwrap();
        builder.finish(Offset(0), KRaftLeaderEpoch(1))
    };
    for (content, says) in [
        (
            batch_of(1, &[NO_OP, &[1, 30, 7, 0]]),
            "the record at offset 2: value at byte 1: unknown record type 30 (version 7)",
        ),
        (batch_of(1, &[&[1, 20, 9, 0]]), "the record at offset 1: NoOpRecord at byte 2: version 9 is unknown"),
        (control_of(1, 9), "the control record at offset 1: controlKey at byte 2: no control record"),
    ] {
        let path = dir.path().join("a.checkpoint");
        let end = if content[57..61] == 2i32.to_be_bytes() { 3 } else { 2 };
        let footer = control_of(end, 4);
        fs::write(&path, [header(TIME), content, footer].concat()).unwrap();
        let error = SnapshotReader::open(&path).unwrap().load(Position::default()).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_dump_names_a_missing_segment() {
    let (dir, _) = written();
    fs::remove_file(&files(dir.path())[1]).unwrap();
    let damages = Dump::open(dir.path()).unwrap().filter(|item| matches!(item, Ok(DumpItem::Damage(_)))).count();
    assert_eq!(damages, 1);
}

#[test]
fn a_directory_without_a_log_is_no_dump() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Dump::open(dir.path()).unwrap_err().to_string().contains("there is no metadata log"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_batches_are_found_again(sizes in proptest::collection::vec((1usize..9, 0i32..2), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = open(dir.path(), 0).unwrap();
        let (mut epoch, mut expected) = (1, Vec::new());
        for (records, step) in sizes {
            epoch += step;
            let mut bytes = batch(0, 0, records);
            place(&mut bytes, log.end(), KRaftLeaderEpoch(epoch));
            log.append(&BatchHeader::parse(&bytes).unwrap(), &bytes).unwrap();
            expected.extend(bytes);
        }
        let end = log.end();
        drop(log);
        let (log, cut) = open(dir.path(), end.0).unwrap();
        prop_assert_eq!(cut, None);
        prop_assert_eq!(log.end(), end);
        prop_assert_eq!(whole(dir.path()), expected);
    }
}
