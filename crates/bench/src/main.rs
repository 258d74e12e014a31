//! bench
mod grpc;
mod histogram;
mod http2;
mod keyspace;
mod load;
mod request;
fn main() {
    let keyspace = std::rc::Rc::new(keyspace::Keyspace::new(10000, 256));
    let ep = vec![std::env::args().nth(1).unwrap()];
    for kind in [request::Kind::Put, request::Kind::Range, request::Kind::SerializableRange] {
        for (connections, in_flight) in [(10, 100), (100, 1), (1, 1)] {
            let l = load::Load { kind, connections, in_flight, extent: load::Extent::Time { warm_up: std::time::Duration::from_millis(500), measured: std::time::Duration::from_secs(2) } };
            if kind == request::Kind::Put { 
            load::run(&ep, &keyspace, &load::Load { kind, connections, in_flight, extent: load::Extent::Requests(10000) }).unwrap(); }
            let o = load::run(&ep, &keyspace, &l).unwrap();
            println!("{kind:?} {connections} {in_flight} {} {:?} {:?} {:?}", o.rate(), o.latencies.quantile(0.5), o.latencies.quantile(0.99), o.failures);
        }
    }
}
