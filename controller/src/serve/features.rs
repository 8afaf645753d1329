//! What this controller can do: ApiVersions (KIP-35, KIP-584).

use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::api_versions_response::{FinalizedFeatureKey, SupportedFeatureKey};
use metadata_core::image::MetadataImage;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};

use crate::convert::text;
use crate::wire::advertised;

/// The answer. `migrates` is this controller's own flag, `zookeeper.metadata.migration.enable`.
pub(super) fn api_versions(image: &MetadataImage, migrates: bool, asked_in: i16) -> ApiVersionsResponse {
    let supported = MetadataVersionRange::production();
    let supported = SupportedFeatureKey::default()
        .with_name(text(MetadataVersion::FEATURE_NAME))
        .with_min_version(supported.min())
        .with_max_version(supported.max());
    let version = image.features().metadata_version().map(|version| (MetadataVersion::FEATURE_NAME, version.level()));
    let others = image.features().finalized().iter().map(|(name, level)| (name.as_ref(), *level));
    let finalized = version.into_iter().chain(others).filter(|(_, level)| *level != 0).map(|(name, level)| {
        FinalizedFeatureKey::default().with_name(text(name)).with_min_version_level(level).with_max_version_level(level)
    });
    // Where the image ends: the last record that it holds (Kafka: `FinalizedFeatures.epoch`).
    let epoch = image.position().last().map_or(-1, |last| last.0);
    let response = ApiVersionsResponse::default().with_api_keys(advertised().collect());
    if asked_in < 3 {
        return response;
    }
    response
        .with_supported_features(vec![supported])
        .with_finalized_features_epoch(epoch)
        .with_finalized_features(finalized.collect())
        .with_zk_migration_ready(migrates)
}
