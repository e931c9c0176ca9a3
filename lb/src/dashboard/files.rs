//! The page itself, as it stands in `page/`, compiled in.

/// A file's path, its type and what is in it.
type File = (&'static str, &'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

const FILES: [File; 10] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/style.css", STYLE, include_str!("page/style.css")),
    ("/icon.svg", PICTURE, include_str!("page/icon.svg")),
    ("/theme.js", SCRIPT, include_str!("page/theme.js")),
    ("/main.js", SCRIPT, include_str!("page/main.js")),
    ("/balancer.js", SCRIPT, include_str!("page/balancer.js")),
    ("/charts.js", SCRIPT, include_str!("page/charts.js")),
    ("/pool.js", SCRIPT, include_str!("page/pool.js")),
    ("/servers.js", SCRIPT, include_str!("page/servers.js")),
    ("/picks.js", SCRIPT, include_str!("page/picks.js")),
];

/// The type and the text of the file at `path`.
pub(super) fn find(path: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(known, ..)| *known == path).map(|(_, kind, text)| (*kind, *text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere_and_no_string_becomes_html() {
        for (path, _, text) in FILES {
            // The name of SVG's namespace looks like an address and is none.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in ["http:", "https:", "innerHTML", "insertAdjacentHTML", "eval(", "onclick"] {
                assert!(!text.contains(word), "{path} has {word}");
            }
        }
    }

    #[test]
    fn what_files_name_is_there() {
        let mut names = 0;
        for (path, _, text) in FILES {
            for quoted in text.split('"').filter(|quoted| quoted.starts_with("./")) {
                assert!(find(&quoted[1..]).is_some(), "{path} names {quoted}");
                names += 1;
            }
        }
        assert!(names > 5, "{names}");
    }
}
