//! Which records may be in a batch, by where in a transaction it stands.

use metadata_core::record::{MetadataRecord, VersionedRecord};

use super::proposal::ProposedTxn;

/// Checks the transaction records of a batch (KIP-868): a Begin stands first and an End last in their batches, which are
/// marked so; an Abort is never written, since Kafka's loader may show what it aborted; and a batch outside any
/// transaction has neither Begin nor End, or is a whole transaction, as Kafka's bootstrap is.
pub(crate) fn check(txn: ProposedTxn, records: &[VersionedRecord]) -> Result<(), String> {
    let last = records.len().saturating_sub(1);
    let mut begins = false;
    let mut ends = false;
    for (index, record) in records.iter().enumerate() {
        match &record.record {
            MetadataRecord::BeginTransaction(_) if index == 0 => begins = true,
            MetadataRecord::EndTransaction(_) if index == last => ends = true,
            MetadataRecord::BeginTransaction(_) => return Err("a Begin must be the first record of its batch".into()),
            MetadataRecord::EndTransaction(_) => return Err("an End must be the last record of its batch".into()),
            MetadataRecord::AbortTransaction(_) => {
                return Err("a transaction is aborted by not ending it; Abort is never written".into());
            }
            _ => {}
        }
    }
    let (sound, rule) = match txn {
        ProposedTxn::None => (begins == ends, "a batch outside any transaction has Begin and End or neither"),
        ProposedTxn::Begin => (begins && !ends, "a batch that opens a transaction has a Begin and no End"),
        ProposedTxn::In => (!begins && !ends, "a batch within a transaction has no Begin and no End"),
        ProposedTxn::End { .. } => (!begins && ends, "a batch that closes a transaction has an End and no Begin"),
    };
    if sound { Ok(()) } else { Err(rule.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metadata_core::record::{AbortTransactionRecord, BeginTransactionRecord, EndTransactionRecord, NoOpRecord};

    fn records(text: &str) -> Vec<VersionedRecord> {
        let record = |letter| -> MetadataRecord {
            match letter {
                'B' => BeginTransactionRecord::default().into(),
                'E' => EndTransactionRecord::default().into(),
                'A' => AbortTransactionRecord::default().into(),
                _ => NoOpRecord::default().into(),
            }
        };
        text.chars().map(|letter| VersionedRecord::new(record(letter), 0)).collect()
    }

    #[test]
    fn a_begin_is_first_an_end_is_last_and_an_abort_is_nowhere() {
        use ProposedTxn::{Begin, In, None};
        let end = ProposedTxn::End { batches: 2 };
        for (txn, text, sound) in [
            (None, "n", true),
            (None, "nnn", true),
            (None, "BnnE", true),
            (None, "BE", true),
            (None, "Bn", false),
            (None, "nE", false),
            (None, "nBnE", false),
            (None, "BnEn", false),
            (None, "BnEBnE", false),
            (None, "A", false),
            (Begin, "B", true),
            (Begin, "Bnn", true),
            (Begin, "nB", false),
            (Begin, "n", false),
            (Begin, "BnE", false),
            (In, "n", true),
            (In, "Bn", false),
            (In, "nE", false),
            (In, "nA", false),
            (end, "nE", true),
            (end, "E", true),
            (end, "n", false),
            (end, "En", false),
            (end, "BnE", false),
        ] {
            assert_eq!(check(txn, &records(text)).is_ok(), sound, "{txn:?} {text}");
        }
    }
}
