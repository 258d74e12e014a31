//! etcd
fn main() {}
