//! How the steps of upkeep are done with LanceDB.

use std::sync::Arc;

use lance::Dataset;
use lance::dataset::cleanup::CleanupPolicy;
use lance::dataset::optimize::{CompactionOptions, compact_files};
use lance::index::DatasetIndexExt;
use lance::index::vector::VectorIndexParams;
use lance_index::IndexType;
use lance_index::optimize::OptimizeOptions;
use lance_index::progress::IndexBuildProgress;
use lance_index::vector::ivf::IvfBuildParams;
use lancedb::DistanceType;

use super::rows::VECTOR;
use super::upkeep::{NEAR, Step, WORDS};

/// Fragments may become as large as they like: a fragment is only rewritten when one is asked for.
const FRAGMENT_ROWS_MAX: usize = 1 << 40;

/// How many vectors for each partition the training looks at, and how often at most. More costs more
/// than it finds.
const SAMPLES_PER_PARTITION: usize = 64;
const TRAINING_ROUNDS: usize = 15;

/// Does one step of upkeep.
pub(super) async fn take(
    mut dataset: Dataset,
    step: &Step,
    progress: Arc<dyn IndexBuildProgress>,
) -> lance::Result<()> {
    match step {
        Step::Gather { fragments } => gather(&mut dataset, fragments).await,
        Step::Index { merged, .. } => {
            let options = OptimizeOptions::merge(*merged).progress(progress);
            dataset.optimize_indices(&options).await
        }
        Step::Train { partitions, .. } => {
            let all = dataset.load_indices_by_name(WORDS).await?.len();
            let options = OptimizeOptions::merge(all).index_names(vec![WORDS.to_owned()]);
            dataset.optimize_indices(&options).await?;
            train(&mut dataset, *partitions, progress).await
        }
    }
}

async fn gather(dataset: &mut Dataset, chosen: &[u32]) -> lance::Result<()> {
    let all = dataset.fragments().iter().filter_map(|fragment| u32::try_from(fragment.id).ok());
    let options = CompactionOptions {
        target_rows_per_fragment: FRAGMENT_ROWS_MAX,
        num_threads: Some(1),
        excluded_fragment_ids: all.filter(|id| !chosen.contains(id)).collect(),
        ..CompactionOptions::default()
    };
    compact_files(dataset, options, None).await.map(drop)
}

async fn train(
    dataset: &mut Dataset,
    partitions: usize,
    progress: Arc<dyn IndexBuildProgress>,
) -> lance::Result<()> {
    let ivf = IvfBuildParams {
        max_iters: TRAINING_ROUNDS,
        sample_rate: SAMPLES_PER_PARTITION,
        ..IvfBuildParams::new(partitions)
    };
    let params = VectorIndexParams::with_ivf_flat_params(DistanceType::Dot.into(), ivf);
    let columns = [VECTOR];
    let index = dataset.create_index_builder(&columns, IndexType::Vector, &params);
    index.name(NEAR.to_owned()).replace(true).progress(progress).await.map(drop)
}

/// How many partitions the index of vectors was trained with, if there is one.
pub(super) async fn partitions(dataset: &Dataset) -> lance::Result<Option<usize>> {
    if dataset.load_indices_by_name(NEAR).await?.is_empty() {
        return Ok(None);
    }
    let told = dataset.index_statistics(NEAR).await?;
    let told: serde_json::Value = serde_json::from_str(&told)?;
    Ok(told["indices"][0]["num_partitions"].as_u64().map(|partitions| partitions as usize))
}

/// Removes the files of all versions but the newest, and those that belong to no version at all: what
/// work that was given up has left, or work that goes on is about to use. So none must go on.
pub(super) async fn prune(dataset: &Dataset) -> lance::Result<()> {
    let policy = CleanupPolicy {
        before_version: Some(dataset.version().version),
        delete_unverified: true,
        error_if_tagged_old_versions: false,
        ..CleanupPolicy::default()
    };
    dataset.cleanup_with_policy(policy).await.map(drop)
}
