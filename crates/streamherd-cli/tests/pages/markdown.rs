//! What is marked as code on a page.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A fenced block, with the word behind the fence.
    Block(String),
    Inline,
}

#[derive(Debug, Clone)]
pub(crate) struct Snippet {
    pub(crate) page: String,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) what: What,
    pub(crate) text: String,
}

impl Snippet {
    pub(crate) fn at(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    pub(crate) fn is_block_of(&self, wanted: &str) -> bool {
        matches!(&self.what, What::Block(language) if language == wanted)
    }
}

/// All blocks and inline code of a page, in its order.
pub(crate) fn snippets(page: &str, text: &str) -> Vec<Snippet> {
    let mut found = Vec::new();
    let mut paragraph = String::new();
    let mut paragraph_line = 1;
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            if line.trim().is_empty() {
                spans(page, paragraph_line, &paragraph, &mut found);
                paragraph.clear();
            } else {
                if paragraph.is_empty() {
                    paragraph_line = number;
                }
                paragraph.push_str(line);
                paragraph.push('\n');
            }
            continue;
        };
        spans(page, paragraph_line, &paragraph, &mut found);
        paragraph.clear();
        let indent = line.len() - line.trim_start().len();
        let mut block = String::new();
        loop {
            let (line, _) = lines.next().unwrap_or_else(|| panic!("{page}:{number}: not closed"));
            if line.trim() == "```" {
                break;
            }
            block.push_str(line.get(indent..).unwrap_or_default());
            block.push('\n');
        }
        let language = language.split([',', ' ']).next().unwrap_or_default();
        found.push(Snippet {
            page: page.to_owned(),
            line: number + 1,
            what: What::Block(language.to_owned()),
            text: block,
        });
    }
    spans(page, paragraph_line, &paragraph, &mut found);
    found
}

/// Inline code may go over the end of a line, where that is a space.
fn spans(page: &str, first: usize, paragraph: &str, found: &mut Vec<Snippet>) {
    let parts: Vec<_> = paragraph.split('`').collect();
    assert!(
        parts.len() % 2 == 1,
        "{page}:{first}: a paragraph with code that is not closed"
    );
    let mut line = first;
    for (index, part) in parts.into_iter().enumerate() {
        if index % 2 == 1 {
            found.push(Snippet {
                page: page.to_owned(),
                line,
                what: What::Inline,
                text: part.split_whitespace().collect::<Vec<_>>().join(" "),
            });
        }
        line += part.matches('\n').count();
    }
}

#[test]
fn blocks_in_lists_and_code_over_two_lines_are_found_where_they_are() {
    let text = "a `b c\nd` `e`\n\n- x:\n\n  ```sh\n  f \\\n    g\n  ```\nh `i`\n";
    let found: Vec<_> = snippets("p", text)
        .into_iter()
        .map(|one| (one.line, one.what, one.text))
        .collect();
    let inline = |line, text: &str| (line, What::Inline, text.to_owned());
    assert_eq!(
        found,
        [
            inline(1, "b c d"),
            inline(2, "e"),
            (7, What::Block("sh".to_owned()), "f \\\n  g\n".to_owned()),
            inline(10, "i"),
        ]
    );
}
