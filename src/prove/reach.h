// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which sources see a change of what a header defines, by names.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "prove/prove.h"

namespace suture::prove {

using Names = std::set<std::string, std::less<>>;

// What two versions of a file define in another way, or only one of them does.
struct Difference {
  Names functions, macros;
  Names called;  // of the macros those that only mean something before a bracket
  bool rest =
      false;  // types, variables, what is included, what hangs on more than the configuration
  bool nothing() const { return functions.empty() && macros.empty() && !rest; }
};

Difference difference_of(const FileText& before, const FileText& after);

class Reach {
 public:
  // `header` is one of the scope's files, and `difference` is its.
  Reach(const Scope& scope, const std::string& header, const Difference& difference);

  // Whether the source's text is another one for the change.
  bool changes(const FileText& source) const;
  // False where that can be told without reading it.
  bool may_change(std::string_view text) const;
  // The headers' functions whose text is another one, of those whose name no other file has.
  const std::vector<std::string>& functions_of_headers() const { return functions_; }
  // What was not followed, for people.
  const std::vector<std::string>& unseen() const { return unseen_; }

 private:
  struct Header {
    std::string path;
    std::string text;
  };
  void read_headers(const std::string& header);
  void follow(Names names);
  bool names_any(const Item& item, const Names& names) const;

  const Scope& scope_;
  std::vector<Header> headers_;
  Names names_;   // what a source must name to see the change
  Names called_;  // of these, what counts only before a bracket
  std::vector<std::string> functions_;
  std::vector<std::string> unseen_;
};

}  // namespace suture::prove
