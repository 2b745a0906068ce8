// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: find where a hunk belongs in a file whose lines may have moved, and never take a place
// that only looks like it: kernel files repeat themselves, and a check that lands in the
// neighbouring function compiles, loads and breaks the machine.
//
// Method: the hunk's old side (context and removed lines) must be found whole, but for the lines of
// context that a fuzz leaves out. Its header names a line and, behind the second @@, a line that
// stands above: the function. Both must agree. Of the places that fit, those count that lie in that
// function, found as diff finds it: the nearest line above the hunk that starts with a letter.
// There the named line is taken, or else the only place. Where the header names no function, the
// named line is taken, or else the only place of the file; where it names one that the file does
// not have, the only place. Everything else is a miss, and says why. A hunk that has less context
// at one end than at the other was cut short by the file's start or end, and must be there again;
// so patch has it, too.
//
// Invariants: places are never before the floor; a larger fuzz is asked only where a smaller one
// finds nothing at all, so that what is ambiguous with all context does not become certain with
// less.
#include "source/hunk_place.h"

#include <algorithm>
#include <cctype>

namespace suture::source {

namespace {

bool starts_heading(std::string_view line) {
  return !line.empty() && (std::isalpha(static_cast<unsigned char>(line[0])) != 0 ||
                           line[0] == '_' || line[0] == '$');
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// "out:", perhaps with a comment behind it.
bool is_label(std::string_view line) {
  std::size_t end = 0;
  while (end < line.size() && is_word(line[end])) {
    ++end;
  }
  if (end == line.size() || line[end] != ':') {
    return false;
  }
  std::size_t rest = line.find_first_not_of(" \t", end + 1);
  return rest == std::string_view::npos || line.substr(rest).starts_with("/*") ||
         line.substr(rest).starts_with("//");
}

std::string_view without_end(std::string_view line) {
  std::size_t last = line.find_last_not_of(" \t\r\n\f\v");
  return line.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

// GNU diff writes 40 bytes of the line, git 80.
constexpr std::size_t cut_at[] = {40, 80};

bool may_be_cut(std::string_view heading) {
  // Blanks at the end are gone, too.
  return std::ranges::any_of(cut_at, [&](std::size_t size) {
    return heading.size() <= size && heading.size() + 2 >= size;
  });
}

bool same_heading(std::string_view heading, std::string_view line) {
  if (heading == line || std::ranges::any_of(cut_at, [&](std::size_t size) {
        return heading == without_end(line.substr(0, size));
      })) {
    return true;
  }
  const std::string name = named_by(heading);
  return !name.empty() && name == named_by(line);
}

std::string_view last_word(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0 && !is_word(text[end - 1])) {
    --end;
  }
  std::size_t start = end;
  while (start > 0 && is_word(text[start - 1])) {
    --start;
  }
  return text.substr(start, end - start);
}

// Behind the parenthesis that closes the one at `open`; npos where the line ends before.
std::size_t past_parentheses(std::string_view line, std::size_t open) {
  int depth = 0;
  for (std::size_t at = open; at < line.size(); ++at) {
    depth += line[at] == '(' ? 1 : line[at] == ')' ? -1 : 0;
    if (depth == 0) {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

bool same_line(const NumberedLine& have, const HunkLine& want) {
  std::string_view text = have.text;
  bool newline = text.ends_with('\n');
  if (newline) {
    text.remove_suffix(1);
  }
  return newline == want.newline && text == want.text;
}

// The old side of a hunk, and how much of it is context at either end.
struct OldSide {
  std::vector<const HunkLine*> lines;
  std::size_t leading = 0;
  std::size_t trailing = 0;
};

OldSide old_side(const Hunk& hunk) {
  OldSide old;
  auto is_context = [](const HunkLine& line) { return line.kind == ' '; };
  for (const HunkLine& line : hunk.lines) {
    if (line.kind != '+') {
      old.lines.push_back(&line);
    }
  }
  auto first = std::ranges::find_if_not(hunk.lines, is_context);
  old.leading = static_cast<std::size_t>(first - hunk.lines.begin());
  auto last = std::find_if_not(hunk.lines.rbegin(), hunk.lines.rend(), is_context);
  old.trailing = static_cast<std::size_t>(last - hunk.lines.rbegin());
  return old;
}

// One hunk under one fuzz.
class Search {
 public:
  Search(const Surroundings& file, const Hunk& hunk, const OldSide& old, unsigned fuzz)
      : file_(file), hunk_(hunk), old_(old) {
    const std::size_t context = std::max(old.leading, old.trailing);
    place_.fuzz = fuzz;
    place_.leading = fuzz + old.leading > context ? fuzz + old.leading - context : 0;
    place_.trailing = fuzz + old.trailing > context ? fuzz + old.trailing - context : 0;
    only_start_ = fuzz + old.leading < context && hunk.old_start <= 1;
    only_end_ = fuzz + old.trailing < context;
  }

  std::expected<Place, Miss> run(std::ptrdiff_t expected) {
    if (old_.lines.size() == place_.leading + place_.trailing && hunk_.old_count != 0) {
      return std::unexpected(Miss{});  // no line of it is left to look at
    }
    if (hunk_.old_count == 0) {  // without context every line would do
      return expected >= 0 && fits(static_cast<std::size_t>(expected))
                 ? choose({static_cast<std::size_t>(expected)}, expected)
                 : std::unexpected(Miss{});
    }
    std::vector<std::size_t> places;
    for (std::size_t at = file_.floor; at < file_.lines.size(); ++at) {
      if (fits(at)) {
        places.push_back(at);
      }
    }
    if (places.empty()) {
      return std::unexpected(Miss{});
    }
    return choose(std::move(places), expected);
  }

 private:
  bool fits(std::size_t at) const {
    const std::size_t end = old_.lines.size() - place_.trailing;
    if (at < file_.floor || at > file_.lines.size() || end > file_.lines.size() - at ||
        (only_start_ && at != 0) || (only_end_ && at + end != file_.lines.size())) {
      return false;
    }
    for (std::size_t i = place_.leading; i < end; ++i) {
      if (!same_line(file_.lines[at + i], *old_.lines[i])) {
        return false;
      }
    }
    return true;
  }

  std::size_t before_diff(std::size_t at) const {
    return static_cast<std::size_t>(static_cast<std::ptrdiff_t>(at) - file_.grown);
  }

  std::expected<Place, Miss> choose(std::vector<std::size_t> places, std::ptrdiff_t expected) {
    const bool names = starts_heading(hunk_.heading);
    std::vector<std::size_t> in = places;
    if (names && file_.headings.has(hunk_.heading)) {
      std::erase_if(in, [&](std::size_t at) {
        return !file_.headings.is_of(hunk_.heading, before_diff(at));
      });
      if (in.empty()) {
        return std::unexpected(Miss{Miss::Kind::other_function, std::move(places)});
      }
    } else {
      place_.heading_is_gone = names;
    }
    // The named line counts only where nothing speaks against it.
    auto stated =
        expected < 0 ? in.end() : std::ranges::find(in, static_cast<std::size_t>(expected));
    if (stated != in.end() && (in.size() == 1 || !place_.heading_is_gone)) {
      place_.at = *stated;
    } else if (in.size() == 1) {
      place_.at = in.front();
    } else {
      return std::unexpected(Miss{Miss::Kind::several, std::move(in)});
    }
    place_.others = places.size() - in.size();
    return place_;
  }

  const Surroundings& file_;
  const Hunk& hunk_;
  const OldSide& old_;
  Place place_;
  bool only_start_ = false;
  bool only_end_ = false;
};

}  // namespace

std::string named_by(std::string_view heading) {
  heading = without_end(heading);
  std::size_t stop = heading.find_first_of("({=[;:");
  if (stop == std::string_view::npos || heading[stop] != '(') {
    return stop == std::string_view::npos && may_be_cut(heading)
               ? std::string{}
               : std::string(last_word(heading.substr(0, stop)));
  }
  // __printf(1, 2) and its like stand before the name.
  for (;;) {
    std::size_t past = past_parentheses(heading, stop);
    std::size_t next =
        past == std::string_view::npos ? past : heading.find_first_of("({=[;:", past);
    if (next == std::string_view::npos || heading[next] != '(' ||
        last_word(heading.substr(past, next - past)).empty()) {
      break;
    }
    stop = next;
  }
  const std::string_view word = last_word(heading.substr(0, stop));
  if (word.empty()) {
    return {};
  }
  std::string name = std::string(word) + '(';
  // A macro that defines something is not what it defines.
  if (std::ranges::none_of(word, [](char c) { return c >= 'a' && c <= 'z'; })) {
    std::size_t end = heading.find_first_of(",)", stop);
    if (end == std::string_view::npos && may_be_cut(heading)) {
      return {};
    }
    name += heading.substr(stop + 1, end == std::string_view::npos ? end : end - stop - 1);
  }
  // Where a function is only declared, it is not.
  return heading.ends_with(';') ? name + ';' : name;
}

Headings::Headings(const std::vector<NumberedLine>& lines) {
  Above above{0, 0};
  for (const NumberedLine& line : lines) {
    above_.push_back(above);
    const std::string_view text = without_end(line.text);
    lines_.emplace_back(text);
    if (starts_heading(line.text)) {
      above.any = lines_.size();
      above.code = is_label(text) ? above.code : lines_.size();
    }
  }
  above_.push_back(above);
}

bool Headings::has(std::string_view heading) const {
  return std::ranges::any_of(lines_, [&](const std::string& line) {
    return starts_heading(line) && same_heading(heading, line);
  });
}

bool Headings::is_of(std::string_view heading, std::size_t at) const {
  if (at >= above_.size()) {
    return false;
  }
  const Above& above = above_[at];
  return (above.any != 0 && same_heading(heading, lines_[above.any - 1])) ||
         (above.code != 0 && same_heading(heading, lines_[above.code - 1]));
}

std::size_t context_of(const Hunk& hunk) {
  const OldSide old = old_side(hunk);
  return std::max(old.leading, old.trailing);
}

std::expected<Place, Miss> find_place(const Surroundings& file, const Hunk& hunk,
                                      std::ptrdiff_t expected, unsigned fuzz) {
  const OldSide old = old_side(hunk);
  const std::size_t most = std::max(old.leading, old.trailing);
  std::expected<Place, Miss> found = std::unexpected(Miss{});
  for (unsigned f = 0; f <= fuzz && f <= most; ++f) {
    found = Search(file, hunk, old, f).run(expected);
    if (found || found.error().kind != Miss::Kind::no_place) {
      break;
    }
  }
  return found;
}

}  // namespace suture::source
