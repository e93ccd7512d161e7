//! Where numbers come from: Prometheus and queue brokers behind one small trait.
