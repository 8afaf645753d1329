use std::fs;

use metadata_core::id::{KRaftLeaderEpoch, TopicId};
use metadata_core::image::MetadataDelta;
use metadata_core::record::{DelegationTokenRecord, FeatureLevelRecord, TopicRecord};
use metadata_core::uuid::Uuid;

use super::*;

const MARK: BatchMark = (TimestampMs(5), 77);

fn image(topics: u64, end: i64) -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    for number in 0..topics {
        let topic_id = TopicId(Uuid::from_u64_pair(1, number));
        delta.replay(&TopicRecord { name: format!("topic-{number}"), topic_id, ..Default::default() }.into()).unwrap();
    }
    delta.apply(Position { epoch: KRaftLeaderEpoch(2), end_offset: Offset(end) }, MARK.0)
}

fn open(dir: &Path) -> ImageCache {
    let (cache, trouble) = ImageCache::open(dir, ());
    assert_eq!(trouble, None);
    cache.unwrap()
}

fn load(cache: &ImageCache) -> Result<Option<MetadataImage>, String> {
    cache.load(Offset(i64::MAX), |_| Some(MARK))
}

#[test]
fn an_image_comes_back_and_a_later_one_replaces_it() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    assert_eq!(load(&open(&dir)).unwrap().map(|image| image.position()), None);
    // Several values each, and fewer than before the second time.
    for (topics, end) in [(5_000, 10), (3_000, 20_000), (4_000, 40_000)] {
        let cache = open(&dir);
        let stored = image(topics, end);
        cache.store(stored.clone(), MARK);
        cache.close();
        let cache = open(&dir);
        let loaded = load(&cache).unwrap().unwrap();
        assert!(loaded.same_metadata(&stored));
        assert_eq!((loaded.position(), loaded.timestamp()), (stored.position(), stored.timestamp()));
        cache.close();
    }
}

/// Nothing keeps such a record out of a log, so it is in the image, and must be there after the next open.
#[test]
fn what_the_metadata_version_can_not_hold_is_in_the_cache_all_the_same() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    let mut delta = MetadataDelta::new(&image(1, 10));
    let version = FeatureLevelRecord { name: "metadata.version".into(), feature_level: 13, ..Default::default() };
    let token = DelegationTokenRecord { token_id: "t1".into(), ..Default::default() };
    delta.replay(&version.into()).unwrap();
    delta.replay(&token.into()).unwrap();
    let stored = delta.apply(image(1, 10).position(), MARK.0);
    let cache = open(&dir);
    cache.store(stored.clone(), MARK);
    cache.close();
    let loaded = load(&open(&dir)).unwrap().unwrap();
    assert!(loaded.tokens().contains_key("t1"));
    assert!(loaded.same_metadata(&stored));
}

#[test]
fn an_image_that_is_hardly_newer_is_not_stored() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    for (end, cached) in [(100, 100), (200, 100), (10_099, 100), (10_100, 10_100), (5_000, 5_000)] {
        let cache = open(&dir);
        // Without a load the cached image is not known to belong to the log.
        if end != 5_000 {
            load(&cache).unwrap();
        }
        cache.store(image(1, end), MARK);
        assert_eq!(load(&cache).unwrap().unwrap().position().end_offset, Offset(cached), "end {end}");
        cache.close();
    }
}

#[test]
fn an_image_of_another_log_or_too_new_is_not_used() {
    let parent = tempfile::tempdir().unwrap();
    let cache = open(&parent.path().join("cache"));
    cache.store(image(10, 30), MARK);
    assert!(cache.load(Offset(29), |_| Some(MARK)).unwrap().is_none());
    assert!(cache.load(Offset(30), |_| Some((MARK.0, 78))).unwrap().is_none());
    assert!(cache.load(Offset(30), |_| None).unwrap().is_none());
    assert!(cache.load(Offset(30), |_| Some(MARK)).unwrap().is_some());
}

const STEPS: usize = 24;

fn copy(source: &Path, target: &Path) {
    fs::create_dir(target).unwrap();
    for entry in fs::read_dir(source).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
        } else {
            copy(&entry.path(), &target.join(entry.file_name()));
        }
    }
}

/// Whatever happens to sled's files: an image that was stored, or none; never a wrong one, never a panic, and the next
/// image can be stored. It happens that sled never comes back from such files: then nobody waits for ever, and the folder
/// stays in use.
#[test]
fn a_garbled_cache_never_yields_a_wrong_image() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    // Large enough for several of sled's segments: damage in the last one is taken for a torn end, silently.
    let stored = image(60_000, 10);
    let cache = open(&dir);
    cache.store(stored.clone(), MARK);
    cache.close();
    let sound = parent.path().join("sound");
    copy(&dir, &sound);
    let bytes = fs::read(sound.join("db")).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for step in 0..STEPS {
        fs::remove_dir_all(&dir).unwrap();
        copy(&sound, &dir);
        let mut garbled = bytes.clone();
        let at = used * step / STEPS;
        match step % 3 {
            0 => garbled[at] ^= 0xff,
            1 => garbled[at..].fill(0),
            _ => garbled.truncate(at),
        }
        fs::write(dir.join("db"), garbled).unwrap();
        let (cache, trouble) = ImageCache::open(&dir, ());
        let Some(cache) = cache else {
            let trouble = trouble.unwrap();
            assert!(trouble.contains("gave no answer"), "step {step}: {trouble}");
            continue;
        };
        let loaded = load(&cache);
        if let Ok(Some(loaded)) = &loaded {
            assert!(loaded.same_metadata(&stored), "step {step}");
        }
        // The first store may be what comes upon the damage; the folder is a new one then.
        cache.store(stored.clone(), MARK);
        if !matches!(load(&cache), Ok(Some(_))) {
            cache.store(stored.clone(), MARK);
        }
        assert!(load(&cache).unwrap().unwrap().same_metadata(&stored), "step {step}");
        cache.close();
    }
}

/// sled lays its segments out anew each time, so that bytes changed at some place are not always seen. A `conf` that is
/// not sled's always is.
#[test]
fn damage_that_is_seen_is_set_aside_and_told_once() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    let stored = image(100, 10);
    for round in 1..=2 {
        let cache = open(&dir);
        cache.store(stored.clone(), MARK);
        cache.close();
        fs::write(dir.join("conf"), b"not sled's").unwrap();
        let (cache, trouble) = ImageCache::open(&dir, ());
        let (cache, trouble) = (cache.unwrap(), trouble.unwrap());
        let aside = parent.path().join(format!("cache.damaged-{round}"));
        assert!(trouble.contains(&aside.display().to_string()), "{trouble}");
        assert!(load(&cache).unwrap().is_none());
        cache.store(stored.clone(), MARK);
        assert!(load(&cache).unwrap().unwrap().same_metadata(&stored));
        cache.close();
        assert!(aside.join("db").exists());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2, "the cache, and the last one that was set aside");
    }
}

#[test]
fn a_thread_that_gives_no_answer_is_not_waited_for() {
    let (orders, receiver) = mpsc::channel();
    let (running, ended) = mpsc::channel::<()>();
    let (release, released) = mpsc::channel::<()>();
    let silent = move || {
        let _ = released.recv();
        drop((receiver, running));
    };
    let thread = Thread { handle: std::thread::spawn(silent), ended };
    let cache = ImageCache::of(orders, thread, Duration::from_millis(1));
    let trouble = load(&cache).unwrap_err();
    assert!(trouble.contains("gave no answer"), "{trouble}");
    cache.store(image(1, 10), MARK);
    cache.close();
    drop(release);
}

#[test]
fn a_folder_that_can_not_be_one_leaves_no_cache_and_a_word_about_it() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("missing/cache");
    fs::write(parent.path().join("missing"), b"a file in the way").unwrap();
    let (cache, trouble) = ImageCache::open(&dir, ());
    assert!(cache.is_none());
    assert!(trouble.is_some());
}
