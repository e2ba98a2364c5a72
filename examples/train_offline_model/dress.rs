//! Puts invented issues into the forms, traces and lists of versions in which real ones come, so that a model meets them before.
//!
//! Law: the same issue is dressed alike in every run; what is put around it says nothing that the issue does not.

/// What goes around a text. `{title}` and `{body}` are the issue's.
struct Form {
    /// Of the three kinds, whose issues come in this form: bug, request, question.
    kinds: [bool; 3],
    text: &'static str,
}

const FORMS: &[Form] = &[
    Form {
        kinds: [true, false, true],
        text: "<!-- Please search existing issues before you open a new one. -->\n\n**Describe the bug**\n{body}\n\n**To Reproduce**\nSteps to reproduce the behavior:\n1. Open the project\n2. Run the command above\n3. See the output\n\n**Expected behavior**\n{expected}\n\n**Screenshots**\nIf applicable, add screenshots to help explain your problem.\n\n**Desktop (please complete the following information):**\n - OS: Linux\n - Browser: Firefox\n - Version: 128\n",
    },
    Form {
        kinds: [true, false, true],
        text: "### Is there an existing issue for this?\n\n- [X] I have searched the existing issues\n\n### Current behaviour\n\n{body}\n\n### Expected behaviour\n\n{expected}\n\n### Steps to reproduce\n\n{steps}\n\n### Relevant log output\n\n```shell\n{trace}\n```\n\n### What version are you using?\n\nmaster\n\n### Operating system and version\n\nUbuntu 24.04\n",
    },
    Form {
        kinds: [true, false, true],
        text: "##### System information (version)\n- Version => 4.8\n- Operating System / Platform => Windows 64 Bit\n- Compiler => Visual Studio 2022\n\n##### Detailed description\n\n{body}\n\n##### Steps to reproduce\n\n```cpp\n{code}\n```\n\n##### Issue submission checklist\n\n - [x] I report the issue, it's not a question\n - [x] I checked the problem with documentation, FAQ, open issues, forum and have not found a solution\n",
    },
    Form {
        kinds: [true, true, true],
        text: "Issue Type: <b>{declared}</b>\n\n{body}\n\nVersion: 1.92.1 (abc123, 2026-07-11)\nOS version: Windows_NT x64 10.0.22631\nModes:\n\n<details>\n<summary>System Info</summary>\n\n|Item|Value|\n|---|---|\n|CPUs|8 x 2400|\n|GPU Status|2d_canvas: enabled|\n|Memory (System)|15.71GB|\n\n</details><details><summary>Extensions (12)</summary>\n\nExtension|Author|Version\n---|---|---\npython|abc|1.2\n\n</details>\n",
    },
    Form {
        kinds: [true, true, true],
        text: "### Issue type\n\n{declared}\n\n### Have you reproduced the bug with the nightly build?\n\nYes\n\n### Source\n\nbinary\n\n### Version\n\n2.17\n\n### Custom code\n\nYes\n\n### OS platform and distribution\n\nLinux Ubuntu 22.04\n\n### Python version\n\n3.11\n\n### Current behavior?\n\n{body}\n\n### Standalone code to reproduce the issue\n\n```shell\n{code}\n```\n\n### Relevant log output\n\n```shell\n{trace}\n```\n",
    },
    Form {
        kinds: [true, false, true],
        text: "{body}\n\n```\n{trace}\n```\n\n## Steps To Reproduce\n\n{steps}\n\nLink to code example: https://example.com/sandbox/42\n\n## The current behavior\n\nSee above.\n\n## The expected behavior\n\n{expected}\n",
    },
    Form {
        kinds: [true, false, false],
        text: "**What happened**:\n{body}\n\n**What you expected to happen**:\n{expected}\n\n**How to reproduce it (as minimally and precisely as possible)**:\n{steps}\n\n**Anything else we need to know?**:\n\n**Environment**:\n- Version: v1.31\n- Cloud provider: none\n",
    },
    Form {
        kinds: [false, true, false],
        text: "**Is your feature request related to a problem? Please describe.**\n{body}\n\n**Describe the solution you'd like**\nSee above.\n\n**Describe alternatives you've considered**\nNone that work well.\n\n**Additional context**\nAdd any other context or screenshots about the feature request here.\n",
    },
    Form {
        kinds: [false, true, false],
        text: "### Please describe the feature you'd like to see added.\n\n{body}\n\n### Is your feature related to a problem, if so please describe it.\n\n_No response_\n\n### Describe the solution you'd like\n\n{title}\n\n### Describe any alternatives you've considered\n\n_No response_\n",
    },
    Form {
        kinds: [false, true, false],
        text: "## Motivation\n\n{body}\n\n## Proposal\n\n```\n{code}\n```\n\n## Alternatives\n\nDo it by hand.\n",
    },
    Form {
        kinds: [false, true, false],
        text: "**System information**\n- Version (you are using): 2.4\n- Are you willing to contribute it (Yes/No): Yes\n\n**Describe the feature and the current behavior/state.**\n\n{body}\n\n**Will this change the current api? How?**\n\nNo\n\n**Who will benefit with this feature?**\n\nAll users\n\n**Any Other info.**\n",
    },
    Form {
        kinds: [true, true, false],
        text: "**Do you want to request a *feature* or report a *bug*?**\n\n{declared}\n\n**What is the current behavior?**\n\n{body}\n\n**What is the expected behavior?**\n\n{expected}\n\n**Which versions are affected?**\n\n17.0.2, Chrome\n",
    },
    Form {
        kinds: [false, false, true],
        text: "Hi,\n\n{body}\n\nHere is what I have so far:\n\n```\n{code}\n```\n\nThanks in advance for your help!\n",
    },
    Form {
        kinds: [false, false, true],
        text: "## Question\n\n{body}\n\n**What have you tried?**\n\n{steps}\n\n**Environment**\n- version 3.2\n- macOS\n",
    },
    Form {
        kinds: [false, false, true],
        text: "Hello everyone. {body} I could not find an answer in the docs or on the forum.\n\n```\n{trace}\n```\n\nAny help is appreciated.\n",
    },
    Form { kinds: [true, true, true], text: "{body}\n\n```\n{code}\n```\n" },
    Form { kinds: [true, false, true], text: "{body}\n\n```\n{trace}\n```\n\nOS: Arch Linux\nVersion: 1.4.2\n" },
];

const EXPECTED: &[&str] =
    &["It works.", "No error.", "The same result as before.", "It should behave as documented.", "See title."];
const STEPS: &[&str] = &[
    "1. Start it\n2. Do what the title says\n3. Look at the result",
    "See the code above.",
    "Just run it.",
    "1. Clone the repository\n2. Build\n3. Run the example",
];
const CODE: &[&str] = &[
    "import thing\nx = thing.load(\"a.bin\")\nprint(x.shape)",
    "const app = createApp({ plugins: [] });\napp.mount('#root');",
    "int main() {\n  auto img = read(\"in.png\");\n  show(img);\n  return 0;\n}",
    "SELECT a.id, b.name FROM a LEFT JOIN b ON a.id = b.a_id;",
    "fn main() {\n    let v = vec![1, 2, 3];\n    run(&v);\n}",
    "$ tool init\n$ tool run --all",
];
const TRACE: &[&str] = &[
    "Traceback (most recent call last):\n  File \"main.py\", line 12, in <module>\n    run()\nRuntimeError: operation failed",
    "Error: unexpected token\n    at parse (lib/index.js:120:11)\n    at Object.<anonymous> (app.js:3:1)",
    "thread 'main' panicked at src/main.rs:14:5:\nindex out of bounds",
    "error: build step failed with exit code 1\nnote: see the log",
    "2026-05-02 10:11:12 INFO started\n2026-05-02 10:11:13 WARN slow response\n2026-05-02 10:11:14 ERROR connection reset",
    "0x00007ff8 ntdll.dll\n0x00007ff9 kernel32.dll\nSegmentation fault (core dumped)",
];
/// As authors label their titles; most do not.
const LABELS: [&[&str]; 3] = [
    &["[Bug]: ", "Bug: ", "[BUG] ", "bug: "],
    &["[Feature Request]: ", "Feature: ", "feat: ", "[FEATURE] ", "Feature request: "],
    &["Question: ", "[Question] ", "[Usage]: ", "Help: "],
];

/// A number that depends on a text only.
pub(crate) fn number(text: &str, salt: u32) -> usize {
    let hash =
        text.bytes().fold(0x811c_9dc5_u32 ^ salt, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d) as usize >> 4
}

/// The issue as it would come with a form; `kind`: 0 a bug, 1 a request, 2 a question. `turn` makes another one.
pub(crate) fn dress(title: &str, body: &str, kind: usize, turn: u32) -> (String, String) {
    let pick = |from: &[&'static str], salt: u32| from[number(title, salt + 97 * turn) % from.len()];
    let forms: Vec<&Form> = FORMS.iter().filter(|form| form.kinds[kind]).collect();
    let form = forms[number(title, 1 + 97 * turn) % forms.len()];
    // A question comes in a bug's form as often as in its own.
    let declared = match (kind, number(title, 2) % 4) {
        (0, _) | (2, 0) => "Bug",
        (1, _) => "Feature Request",
        (_, 1) => "Others",
        _ => "Support",
    };
    let text = form
        .text
        .replace("{body}", body)
        .replace("{title}", title)
        .replace("{declared}", declared)
        .replace("{expected}", pick(EXPECTED, 3))
        .replace("{steps}", pick(STEPS, 4))
        .replace("{code}", pick(CODE, 5))
        .replace("{trace}", pick(TRACE, 6));
    // Every tenth label is wrong.
    let told = if number(title, 7 + turn).is_multiple_of(10) { 0 } else { kind };
    let label = if number(title, 8 + turn).is_multiple_of(3) { pick(LABELS[told], 9) } else { "" };
    (format!("{label}{title}"), text)
}
