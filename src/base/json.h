// SPDX-License-Identifier: GPL-2.0-or-later
//
// JSON (RFC 8259) as a value. Written and read here only, so that one file includes the library
// that does it.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace suture {

// Null, a truth value, a number, a text, an array or an object, whose members keep their order.
class Json {
 public:
  Json();  // null
  // Copies are made as they are written down: Json{{"name", name}, {"size", 3}} is an object, any
  // other list of values an array.
  Json(std::nullptr_t) : Json() {}              // NOLINT(google-explicit-constructor)
  Json(double number);                          // NOLINT(google-explicit-constructor)
  Json(std::string text);                       // NOLINT(google-explicit-constructor)
  Json(std::string_view text);                  // NOLINT(google-explicit-constructor)
  Json(const char* text);                       // NOLINT(google-explicit-constructor)
  Json(const std::vector<std::string>& texts);  // NOLINT(google-explicit-constructor)
  Json(std::initializer_list<Json> values);     // NOLINT(google-explicit-constructor)
  template <std::integral Integer>
  Json(Integer number)  // NOLINT(google-explicit-constructor)
      : Json(std::same_as<Integer, bool> ? Kind::truth : Kind::integer,
             static_cast<std::int64_t>(number)) {}
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(const Json& other);
  Json& operator=(Json&& other) noexcept;
  ~Json();
  static Json array(std::initializer_list<Json> values = {});

  // Of an object, or of null, which becomes one: the member, null where it was not there.
  Json& operator[](std::string_view key);
  // Sets the members of another object.
  void update(const Json& object);
  // Of an array, or of null, which becomes one.
  void push_back(Json value);

  // Indented by two spaces. Bytes that are not UTF-8 are replaced.
  std::string text() const;
  // On one line, in ASCII.
  std::string line() const;

  // Nothing where the text is not one JSON value, or nested deeper than anything of ours.
  static std::optional<Json> parse(std::string_view text);
  bool is_object() const { return kind_ == Kind::object; }
  bool is_array() const { return kind_ == Kind::array; }
  // Of an object: the member, or nullptr.
  const Json* find(std::string_view key) const;
  const std::vector<Json>& items() const { return values_; }  // of an array
  // Nothing where the value is of another kind.
  std::optional<std::string> as_text() const;
  std::optional<std::int64_t> as_integer() const;
  std::optional<double> as_number() const;
  std::optional<bool> as_truth() const;

 private:
  enum class Kind : std::uint8_t { null, truth, integer, number, text, array, object };
  struct Library;  // to and from the library's values
  Json(Kind kind, std::int64_t integer) : kind_(kind), integer_(integer) {}

  Kind kind_ = Kind::null;
  std::int64_t integer_ = 0;  // truth values as well
  double number_ = 0;
  std::string text_;
  std::vector<std::string> keys_;  // of an object, one for each value
  std::vector<Json> values_;
};

// Reads the members of an object, and remembers whether each was there and of its kind.
class JsonReader {
 public:
  explicit JsonReader(const Json& object) : object_(object) {}
  std::string text(std::string_view key);  // empty where it is not there
  std::int64_t integer(std::string_view key);
  double number(std::string_view key);
  bool truth(std::string_view key);
  const std::vector<Json>& items(std::string_view key);
  std::vector<std::string> texts(std::string_view key);
  // Everything that was asked for was there.
  bool whole() const { return missing_.empty(); }
  const std::string& missing() const { return missing_; }  // the first key that was not
  // Something that was asked for was there and of another kind.
  bool wrong() const { return wrong_; }

 private:
  template <class Value>
  Value get(std::string_view key, std::optional<Value> (Json::*as)() const);
  void miss(std::string_view key);

  const Json& object_;
  std::string missing_;
  bool wrong_ = false;
};

}  // namespace suture
