use std::io::{Cursor, Read};

use serde_json::json;

use super::*;

fn survey(text: &str, options: Options) -> Result<Sheet, ImportError> {
    Sheet::survey(&|| Ok(Box::new(Cursor::new(text.as_bytes().to_vec())) as Box<dyn Read>), options)
}

struct Table {
    sheet: Sheet,
    rows: Vec<Row>,
    bad: Vec<Bad>,
    repeated: usize,
    left_out: usize,
}

fn read_bytes(bytes: &[u8], options: Options) -> Result<Table, ImportError> {
    let open = || Ok(Box::new(Cursor::new(bytes.to_vec())) as Box<dyn Read>);
    let sheet = Sheet::survey(&open, options)?;
    let (mut rows, mut bad, mut repeated, mut left_out) = (Vec::new(), Vec::new(), 0, 0);
    for read in sheet.rows(&open)? {
        match read? {
            Came::Row(row) => rows.push(row),
            Came::Bad(line) => bad.push(line),
            Came::Nothing { repeated: true } => repeated += 1,
            Came::Nothing { repeated: false } => left_out += 1,
        }
    }
    Ok(Table { sheet, rows, bad, repeated, left_out })
}

fn read(text: &str, kind: Kind) -> Table {
    read_bytes(text.as_bytes(), Options { kind, ..Options::default() }).expect("it is read")
}

fn lines(bad: &[Bad]) -> Vec<u64> {
    bad.iter().map(|bad| bad.line).collect()
}

#[test]
fn a_spreadsheet_is_read_with_its_own_headers() {
    let text = "\u{feff}Account Name;Website;Annual Revenue;Since;Notes\nLumen Example;lumen.example.com | lumen.example.org;€ 1.200,50;2024-06-27;x\n\n;quill.example.com;80k;;\n";
    let table = read(text, Kind::Customers);
    assert_eq!((table.sheet.unknown, table.bad), (vec!["Notes".to_owned()], vec![]));
    assert_eq!(table.rows[0].id, "lumen.example.com");
    assert_eq!(table.rows[0].body["arr"], 1200.5);
    assert_eq!(table.rows[0].body["domains"], json!(["lumen.example.com", "lumen.example.org"]));
    assert_eq!((table.rows[1].line, &table.rows[1].body["arr"]), (4, &json!(80_000.0)));
}

#[test]
fn bad_rows_are_named_by_line_and_the_others_go_on() {
    let text = "name,arr,customer_since\nLumen Example,lots,\n,5,\nQuill Example,,soon\nAcme Example,1,\nAcme Example,2,\na,b,c,d\n";
    let table = read(text, Kind::Customers);
    assert_eq!((lines(&table.bad), table.rows.len()), (vec![2, 3, 4, 6, 7], 1), "{:?}", table.bad);
    assert_eq!(table.bad[4].text, "a,b,c,d");
}

#[test]
fn lines_are_counted_through_quoted_line_breaks_and_a_missing_last_one() {
    let text = "text,email\n\"one\ntwo\n\",a@example.com\n\n\nthree,\"b\n\n\"\n,c@example.com";
    let table = read(text, Kind::Feedback);
    assert_eq!(table.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 7]);
    assert_eq!(table.rows[0].body["verbatim"], "one\ntwo");
    assert_eq!(lines(&table.bad), [10]);
}

#[test]
fn headers_can_be_mapped_and_must_mean_something() {
    let said = |ours: &str| Options { columns: [("Kunde".to_owned(), ours.to_owned())].into(), ..Options::default() };
    assert_eq!(read_bytes(b"Kunde\nAcme Example\n", said("name")).expect("mapped").rows.len(), 1);
    assert!(matches!(survey("Kunde\nAcme Example\n", Options::default()), Err(ImportError::NoHeader { .. })));
    assert!(matches!(survey("Kunde\nx\n", said("nmae")), Err(ImportError::Header(_))));
    assert!(matches!(survey("{\"Kunde\": \"x\"}\n", said("nmae")), Err(ImportError::Header(_))));
    let absent = survey("name\nx\n", said("name")).map(|_| ()).expect_err("there is no Kunde").to_string();
    assert!(
        absent.contains("--map Kunde=name: there is no such column") && absent.contains("there are name"),
        "{absent}"
    );
    assert!(
        matches!(survey("name,Name\nx,y\n", Options::default()), Err(ImportError::Header(_))),
        "two of one meaning"
    );
    assert!(matches!(survey("", Options::default()), Err(ImportError::Empty)));
}

#[test]
fn other_encodings_are_refused_or_told_by_line() {
    let utf16: Vec<u8> = "name\nAcme\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [utf16.clone(), [vec![0xff, 0xfe], utf16].concat()] {
        let refused = read_bytes(&bytes, Options::default()).err().map(|error| error.to_string());
        assert!(refused.is_some_and(|why| why.contains("UTF-16") && why.contains("CSV UTF-8")));
    }
    let mixed = [&b"name,owner\nAcme Example,Zo\xeb\n"[..], "Quill Example,Zoë\n".as_bytes()].concat();
    let table = read_bytes(&mixed, Options::default()).expect("read");
    assert_eq!((lines(&table.bad), table.rows.len()), (vec![2], 1));
    let workbook = read_bytes(b"PK\x03\x04\x14\0\x06\0", Options::default()).err().map(|error| error.to_string());
    assert!(workbook.is_some_and(|why| why.contains("workbook") && why.contains("CSV UTF-8")));
}

#[test]
fn a_salesforce_report_in_its_own_encoding_is_taken_as_it_comes() {
    let report = b"\"Account ID\",\"Account Name\",\"Billing Country\",\"Annual Revenue\"\n\"001D000000IRFma\",\"M\xfcller \x96 S\xf6hne\",\"\xd6sterreich\",\"\x80 1.234,00\"\n\n\"Copyright (c) 2000-2026 salesforce.com, inc. All rights reserved.\"\n";
    let table = read_bytes(report, Options::default()).expect("read");
    assert_eq!((table.bad, table.rows.len()), (vec![], 1));
    let body = &table.rows[0].body;
    assert_eq!(
        (&body["name"], &body["region"], &body["arr"]),
        (&json!("Müller – Söhne"), &json!("Österreich"), &json!(1234.0))
    );
    assert!(table.sheet.notes.iter().any(|note| note.contains("Windows-1252")), "{:?}", table.sheet.notes);
}

#[test]
fn a_quote_that_is_never_closed_is_told_where_it_opens() {
    let text = format!("name\nAcme Example\n\"{}", "x\n".repeat(5 << 20));
    let error = survey(&text, Options::default()).map(|sheet| sheet.records).expect_err("it is refused");
    assert!(error.to_string().starts_with("line 3: "), "{error}");
}

#[test]
fn a_salesforce_export_is_taken_as_it_comes() {
    let table = read(include_str!("../../tests/samples/salesforce-report.csv"), Kind::Customers);
    assert_eq!(table.bad, vec![]);
    assert_eq!(table.rows.len(), 3, "what stands beneath the report is no customer");
    let first = &table.rows[0];
    assert_eq!(first.id, "001d000000irfmaiah");
    assert_eq!(first.body["salesforce_account"], "001D000000IRFmaIAH");
    assert_eq!((&first.body["arr"], &first.body["customer_since"]), (&json!(1_234_000.0), &json!("2024-06-27")));
    assert_eq!((&first.body["region"], &first.body["owner"]), (&json!("Germany"), &json!("Carol Example")));
    assert_eq!(first.body["domains"], json!(["https://www.lumen.example.com"]));
    let loaded = read(include_str!("../../tests/samples/salesforce-dataloader.csv"), Kind::Customers);
    assert_eq!((loaded.bad, loaded.rows.len()), (vec![], 2));
    assert_eq!(loaded.rows[0].id, first.id, "both forms of the id are one");
    assert_eq!(loaded.rows[0].body["customer_since"], "2024-06-27");
}

#[test]
fn plain_feedback_is_taken_as_it_comes_and_the_same_row_is_the_same_tomorrow() {
    let sample = include_str!("../../tests/samples/feedback.csv");
    let (table, again) = (read(sample, Kind::Feedback), read(sample, Kind::Feedback));
    assert_eq!(table.rows, again.rows);
    assert_eq!((table.rows.len(), table.repeated, lines(&table.bad)), (3, 1, vec![8]), "{:?}", table.bad);
    let first = &table.rows[0].body;
    assert_eq!(
        (&first["received_at"], &first["author"]["email"]),
        (&json!("2026-03-14T09:30:00Z"), &json!("ada@lumen.example.com"))
    );
    assert_eq!((&first["source"], &first["tags"]["category"]), (&json!("in_app"), &json!("feature_request")));
}

#[test]
fn ndjson_is_recognised_and_bad_lines_are_told() {
    let text = "{\"name\": \"Lumen Example\", \"arr\": 5, \"domains\": [\"lumen.example.com\"]}\n\nnonsense\n[1]\n{\"Account ID\": 7, \"Name\": \"Quill\"}\n";
    let table = read(text, Kind::Customers);
    assert_eq!(table.sheet.format, Format::Ndjson);
    assert_eq!((table.rows.len(), lines(&table.bad)), (2, vec![3, 4]), "{:?}", table.bad);
    assert_eq!(table.rows[1].body["company_id"], "7");
}

#[test]
fn a_mapping_of_ones_own_draws_from_the_files_own_words() {
    let map = r#"
from   = "csv.customers"
entity = "customer"
when   = '.Stufe != "alt"'
[fields]
name = '.Kunde'
arr  = '.Umsatz | if . == null then null else tonumber end'
[customer]
match = [{ company_id = '.Nummer' }, { domain = '.Mail' }]
"#;
    let map = own_mapping("kunden.toml", map, Kind::Customers).expect("it compiles");
    let text = "Nummer,Kunde,Umsatz,Mail,Stufe\n7,Lumen Example,100,ada@lumen.example.com,neu\n8,Quill,viel,,neu\n9,Acme,1,,alt\n";
    let options = Options { map: Some(map), id: Some("nummer".into()), ..Options::default() };
    let table = read_bytes(text.as_bytes(), options).expect("it is read");
    assert_eq!((table.rows.len(), lines(&table.bad), table.left_out), (1, vec![3], 1), "{:?}", table.bad);
    assert_eq!(table.rows[0].id, "7");
    assert_eq!(table.rows[0].body["names"], json!({"company_id": ["7"], "domain": ["lumen.example.com"]}));
    assert!(
        own_mapping(
            "x.toml",
            "from = \"csv.feedback\"\nentity = \"feedback\"\n[fields]\nverbatim = '.x'\n",
            Kind::Customers
        )
        .is_err()
    );
}

#[test]
fn the_shipped_mappings_compile_and_their_examples_hold() {
    for kind in Kind::ALL {
        let (file, text) = kind.shipped();
        let compiled = compile(file, text).expect("it compiles");
        assert_eq!(run_examples(&compiled), vec![]);
    }
    assert_eq!(mappings().len(), 2);
}
