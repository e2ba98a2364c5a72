//! The filters that a mapping may call, what each costs, and why the others of jq are not let in.

use crate::mapping::problem::nearest;

/// Filters that ops may call, with the number of arguments each may have.
const ALLOWED: &[(&str, &[usize])] = &[
    ("abs", &[0]),
    ("add", &[0]),
    ("all", &[0, 1, 2]),
    ("any", &[0, 1, 2]),
    ("arrays", &[0]),
    ("ascii_downcase", &[0]),
    ("ascii_upcase", &[0]),
    ("booleans", &[0]),
    ("capture", &[1, 2]),
    ("ceil", &[0]),
    ("contains", &[1]),
    ("date", &[0]),
    ("domain", &[0]),
    ("empty", &[0]),
    ("endswith", &[1]),
    ("error", &[0, 1]),
    ("false", &[0]),
    ("first", &[0, 1]),
    ("flatten", &[0]),
    ("floor", &[0]),
    ("from_entries", &[0]),
    ("from_epoch", &[0]),
    ("fromdate", &[0]),
    ("getpath", &[1]),
    ("group_by", &[1]),
    ("gsub", &[2, 3]),
    ("has", &[1]),
    ("html_to_text", &[0]),
    ("in", &[1]),
    ("index", &[1]),
    ("indices", &[1]),
    ("inside", &[1]),
    ("isempty", &[1]),
    ("join", &[1]),
    ("keys", &[0]),
    ("last", &[0, 1]),
    ("length", &[0]),
    ("limit", &[2]),
    ("ltrim", &[0]),
    ("ltrimstr", &[1]),
    ("map", &[1]),
    ("match", &[1, 2]),
    ("max", &[0]),
    ("max_by", &[1]),
    ("min", &[0]),
    ("min_by", &[1]),
    ("not", &[0]),
    ("nth", &[1, 2]),
    ("null", &[0]),
    ("nulls", &[0]),
    ("numbers", &[0]),
    ("objects", &[0]),
    ("reverse", &[0]),
    ("rindex", &[1]),
    ("round", &[0]),
    ("rtrim", &[0]),
    ("rtrimstr", &[1]),
    ("scalars", &[0]),
    ("scan", &[1, 2]),
    ("select", &[1]),
    ("skip", &[2]),
    ("sort", &[0]),
    ("sort_by", &[1]),
    ("split", &[1, 2]),
    ("splits", &[1, 2]),
    ("startswith", &[1]),
    ("strings", &[0]),
    ("sub", &[2, 3]),
    ("test", &[1, 2]),
    ("to_entries", &[0]),
    ("todate", &[0]),
    ("tojson", &[0]),
    ("tonumber", &[0]),
    ("tostring", &[0]),
    ("trim", &[0]),
    ("true", &[0]),
    ("truncate", &[1]),
    ("type", &[0]),
    ("unique", &[0]),
    ("unique_by", &[1]),
    ("utf8bytelength", &[0]),
    ("values", &[0]),
    ("with_entries", &[1]),
    ("@html", &[0]),
    ("@json", &[0]),
    ("@text", &[0]),
    ("@uri", &[0]),
];

/// Filters whose work grows with everything inside their input, not only with its length.
const DEEP: &[&str] = &[
    "tostring",
    "tojson",
    "@json",
    "@text",
    "@html",
    "@uri",
    "sort",
    "sort_by",
    "group_by",
    "unique",
    "unique_by",
    "min",
    "max",
    "min_by",
    "max_by",
    "flatten",
    "inside",
    "to_entries",
    "min_by_or_empty",
    "max_by_or_empty",
];

/// How many arguments the filter may have; `None`: it is not let in.
pub(super) fn arities(name: &str) -> Option<&'static [usize]> {
    ALLOWED.iter().find(|(known, _)| *known == name).map(|(_, arities)| *arities)
}

pub(super) fn is_deep(name: &str) -> bool {
    DEEP.contains(&name)
}

pub(crate) fn known_names() -> impl Iterator<Item = &'static str> {
    ALLOWED.iter().map(|(name, _)| *name)
}

/// Why a name is not let in, and what to write instead.
pub(super) fn explain(name: &str) -> (String, String) {
    let (what, mend) = match name {
        "range" | "repeat" | "while" | "until" | "recurse" | "walk" | "paths" | "combinations" | "transpose"
        | "recurse_down" => ("can go on without end", "use map, any, all, first or limit over a list of the record"),
        "env" | "input" | "inputs" | "input_filename" | "input_line_number" | "get_search_list" | "modulemeta" => {
            ("looks outside of the record", "give the value in the mapping itself")
        }
        "now" | "localtime" | "strflocaltime" | "mktime" | "gmtime" => {
            ("depends on when or where it runs", "use a time of the record, with from_epoch or todate")
        }
        "halt" | "halt_error" | "debug" | "stderr" | "label" | "break" => {
            ("ends or talks past the mapping", "leave it out")
        }
        "map_values" | "del" | "delpaths" | "setpath" | "to_stream" | "from_stream" | "pick" | "path" => {
            ("changes its input in place", "build the value: {name: …} or map(…)")
        }
        "fromjson" => ("reads text of any depth", "map the record's own fields"),
        "def" | "reduce" | "foreach" => ("can loop", "use map, add, any, all or group_by"),
        "capture_name" => ("is unknown", "use capture"),
        _ => {
            let near = nearest(name, known_names());
            let mend = near.map_or_else(
                || "see the list of filters in docs/mappings.md".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            return (format!("there is no filter `{name}` for mappings"), mend);
        }
    };
    (format!("`{name}` is not for mappings: it {what}"), mend.to_owned())
}
