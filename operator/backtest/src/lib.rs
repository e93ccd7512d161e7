//! Replay of the decision path over history: the plant, the baselines, the oracle, the score, the report.
