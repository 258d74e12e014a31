//! `--write-out=table`: boxes, for the few answers that are tables.

use tabled::builder::Builder;
use tabled::settings::object::Rows;
use tabled::settings::{Alignment, Modify, Style};

use super::{Answer, rows, unsupported};
use crate::fail::Result;

/// The answer as a table.
pub fn text(answer: &Answer) -> Result<String> {
    match answer {
        Answer::Members(response) => Ok(draw(rows::members(response))),
        Answer::Health(all) => Ok(draw(rows::healths(all))),
        Answer::Status(all) => Ok(draw(rows::statuses(all))),
        Answer::HashKv(all) => Ok(draw(rows::hashes(all))),
        _ => Err(unsupported("table")),
    }
}

/// Titles in capitals in the middle, cells to the right.
fn draw(table: rows::Table) -> String {
    let mut builder = Builder::default();
    let title = |title: &&str| title.to_uppercase().replace('_', " ");
    builder.push_record(table.titles.iter().map(title));
    for row in table.rows {
        builder.push_record(row);
    }
    let mut table = builder.build();
    table.with(Style::sharp()).with(Alignment::right()).with(Modify::new(Rows::first()).with(Alignment::center()));
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::{Member, MemberListResponse, RangeResponse};

    use super::*;

    #[test]
    fn members_look_like_etcdctl_3_7() {
        let answer = Answer::Members(MemberListResponse {
            members: vec![Member {
                id: 0x8e9e_05c5_2164_694d,
                name: "m1".into(),
                peer_urls: vec!["http://localhost:2380".into()],
                client_urls: vec!["http://localhost:2379".into()],
                is_learner: false,
            }],
            ..MemberListResponse::default()
        });
        let expected = "\
┌──────────────────┬─────────┬──────┬───────────────────────┬───────────────────────┬────────────┐
│        ID        │ STATUS  │ NAME │      PEER ADDRS       │     CLIENT ADDRS      │ IS LEARNER │
├──────────────────┼─────────┼──────┼───────────────────────┼───────────────────────┼────────────┤
│ 8e9e05c52164694d │ started │   m1 │ http://localhost:2380 │ http://localhost:2379 │      false │
└──────────────────┴─────────┴──────┴───────────────────────┴───────────────────────┴────────────┘
";
        assert_eq!(text(&answer).unwrap(), expected);
    }

    #[test]
    fn pairs_are_no_table() {
        let failure = text(&Answer::Get(RangeResponse::default())).unwrap_err();
        assert_eq!(failure.text.as_deref(), Some("table not supported as output format"));
    }
}
