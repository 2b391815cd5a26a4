//! Between the gate and the answer, when a request asks for it: a cross-encoder puts the first passages in order.
//!
//! Promises: only passages that the gate let in are read to the model; they change places among themselves, so nothing
//! comes in and nothing gets lost; the same scores give the same order; a model that is late, fails or is not there
//! leaves the order as it was, and the answer says so. Does not: change a passage's score, or decide who may see it.

use std::time::Duration;

use catena_domain::TenantId;
use catena_embedding::{EmbeddingError, Reranker, Score};

use crate::gate::{Admitted, Passage};

/// Passages that are judged; the others stay behind them. What stands further back rarely belongs at the top, and every
/// passage costs a run of the model.
const JUDGED_MAX: usize = 15;
/// How long judging may take: as long as whoever waits for an answer hardly notices. Fifteen passages of 200 tokens cost
/// six layers of MiniLM 0.3 s of a slow processor's time in int8, and more than twice that in fp32, so two such processors
/// are in time with the former while they have nothing else to do.
const DEADLINE: Duration = Duration::from_millis(300);
/// What becomes of the order without the model.
const AS_BEFORE: &str = "the order is that of the search";

/// Why there are no scores.
#[derive(Debug)]
enum Missed {
    Late,
    Failed(EmbeddingError),
}

/// The passages of `admitted`, the first of them in the reranker's order.
pub(crate) async fn rerank(
    reranker: Option<&Reranker>,
    tenant: &TenantId,
    query: &str,
    mut admitted: Admitted,
) -> Admitted {
    let Some(reranker) = reranker else {
        admitted.degraded.push(format!("rerank: this service has no reranker; {AS_BEFORE}"));
        return admitted;
    };
    if admitted.list.is_empty() {
        return admitted;
    }
    let texts = admitted.list.iter().take(JUDGED_MAX).map(read).collect();
    let scores = in_time(reranker.judge(tenant, query, texts)).await;
    ordered(admitted, &format!("{} {}", reranker.name(), reranker.fingerprint()), scores)
}

/// What the model reads of a passage: the same as the one that embedded it.
fn read(passage: &Passage) -> String {
    let stored = &passage.stored;
    catena_text::embedding_text(&catena_text::breadcrumb(&stored.title, &stored.headings), &stored.text)
}

/// The scores if they come in time. Whoever is late is not waited for: what has not begun is dropped with the future.
async fn in_time(scores: impl Future<Output = Result<Vec<Score>, EmbeddingError>>) -> Result<Vec<Score>, Missed> {
    match tokio::time::timeout(DEADLINE, scores).await {
        Ok(scores) => scores.map_err(Missed::Failed),
        Err(_) => Err(Missed::Late),
    }
}

/// Puts the passages that have scores in their order; without scores, says why and leaves all as it was.
fn ordered(mut admitted: Admitted, reranker: &str, scores: Result<Vec<Score>, Missed>) -> Admitted {
    let scores = match scores {
        Ok(scores) => scores,
        Err(missed) => {
            admitted.degraded.push(format!("rerank: {}; {AS_BEFORE}", missed.told()));
            return admitted;
        }
    };
    for (passage, score) in admitted.list.iter_mut().zip(&scores) {
        passage.judged = Some(score.value);
    }
    if let Some(judged) = admitted.list.get_mut(..scores.len()) {
        // The sort is stable: of two that are judged alike, the one that the search had first stays first.
        judged.sort_by(|one, other| other.judged.unwrap_or_default().total_cmp(&one.judged.unwrap_or_default()));
    }
    let cut = scores.iter().filter(|score| score.truncated_tokens > 0).count();
    if cut > 0 {
        let all = scores.len();
        admitted.degraded.push(format!(
            "rerank: {cut} of {all} passages were judged without their end, because they do not fit the model beside \
             the query"
        ));
    }
    admitted.reranker = Some(reranker.to_owned());
    admitted
}

impl Missed {
    /// Counts it, logs it, and says it in a person's words.
    fn told(&self) -> String {
        let (why, told) = match self {
            Self::Late => ("late", format!("no answer within {} ms", DEADLINE.as_millis())),
            Self::Failed(EmbeddingError::Stopped) => ("failed", "the model's workers stopped".to_owned()),
            // What went wrong inside is for the log.
            Self::Failed(error) => {
                tracing::warn!(%error, kind = error.kind().as_str(), "the reranker failed");
                ("failed", "failed; see the service's log".to_owned())
            }
        };
        metrics::counter!("catena_rerank_missed_total", "why" => why).increment(1);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::tests::passage;
    use proptest::prelude::*;

    fn admitted(passages: u32) -> Admitted {
        let list = (0..passages).map(|doc| passage(doc, 0, (0, 4), "", "text")).collect();
        Admitted { list, dropped: 0, degraded: vec![], reranker: None }
    }

    fn scores(values: &[f32]) -> Vec<Score> {
        values.iter().map(|&value| Score { value, truncated_tokens: 0 }).collect()
    }

    fn order(admitted: &Admitted) -> Vec<u32> {
        admitted.list.iter().map(|passage| passage.stored.doc.0).collect()
    }

    #[test]
    fn better_scores_come_first_equal_ones_as_before_and_the_unjudged_last() {
        let ordered = ordered(admitted(5), "m f", Ok(scores(&[-3.0, 2.5, 2.5, 7.0])));
        assert_eq!(order(&ordered), [3, 1, 2, 0, 4]);
        let judged: Vec<_> = ordered.list.iter().map(|passage| passage.judged).collect();
        assert_eq!(judged, [Some(7.0), Some(2.5), Some(2.5), Some(-3.0), None]);
        assert_eq!((ordered.reranker.as_deref(), ordered.degraded.len()), (Some("m f"), 0));
    }

    #[test]
    fn without_scores_all_stays_as_it_was_and_the_answer_says_why() {
        for (missed, why) in [(Missed::Late, "within 300 ms"), (Missed::Failed(EmbeddingError::Stopped), "stopped")] {
            let ordered = ordered(admitted(3), "m f", Err(missed));
            assert_eq!(order(&ordered), [0, 1, 2]);
            assert!(ordered.list.iter().all(|passage| passage.judged.is_none()));
            assert_eq!(ordered.reranker, None);
            let [told] = ordered.degraded.as_slice() else { panic!("{:?}", ordered.degraded) };
            assert!(told.starts_with("rerank: ") && told.contains(why), "{told}");
        }
    }

    #[test]
    fn what_was_cut_is_said_with_how_many() {
        let mut scores = scores(&[1.0, 2.0, 3.0]);
        scores[1].truncated_tokens = 9;
        let ordered = ordered(admitted(3), "m f", Ok(scores));
        assert!(ordered.degraded[0].starts_with("rerank: 1 of 3 passages"), "{:?}", ordered.degraded);
        assert_eq!(order(&ordered), [2, 1, 0]);
    }

    #[tokio::test]
    async fn a_model_that_never_answers_is_not_waited_for() {
        assert!(matches!(in_time(std::future::pending()).await, Err(Missed::Late)));
    }

    #[tokio::test]
    async fn a_service_without_a_reranker_says_so() {
        let tenant = TenantId::new("acme").unwrap();
        let answered = rerank(None, &tenant, "q", admitted(2)).await;
        assert_eq!(order(&answered), [0, 1]);
        assert!(answered.degraded[0].starts_with("rerank: this service has no reranker"), "{:?}", answered.degraded);
    }

    proptest! {
        #[test]
        fn passages_only_change_places(values in prop::collection::vec(-9f32..9.0, 0..=15), more in 0u32..20) {
            let all = values.len() as u32 + more;
            let ordered = ordered(admitted(all), "m f", Ok(scores(&values)));
            let order = order(&ordered);
            prop_assert_eq!(&order[values.len()..], &(values.len() as u32..all).collect::<Vec<_>>()[..]);
            let mut sorted = order;
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..all).collect::<Vec<_>>());
        }
    }
}
