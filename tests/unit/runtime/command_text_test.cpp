#include "runtime/command_text.h"

#include <gtest/gtest.h>

#include <stook/errors.hpp>

namespace {

using namespace stook::detail;
using Words = std::vector<std::string>;

const CommandNames two{{"a b", "c"}, {"x.o"}, "x.d"};

TEST(CommandText, PlaceholdersAreReplaced) {
  const Words argv{"cc", "{in}", "-o", "{out}", "-MF", "{depfile}", "--first={in[0]}", "{in[1]}"};
  EXPECT_EQ(expand_words(argv, two),
            (Words{"cc", "a b", "c", "-o", "x.o", "-MF", "x.d", "--first=a b", "c"}));
}

TEST(CommandText, OtherBracesAreLeftAlone) {
  const Words argv{"{",   "}",     "{}",     "{x}",   "${in",   "{in",
                   "in}", "a{b}c", "{ in }", "{in[}", "{in[x]}"};
  EXPECT_EQ(expand_words(argv, two), argv);
}

TEST(CommandText, DoubledBracesAreText) {
  const Words argv{"{{in}}", "a{{out[0]}}b", "{{depfile}}", "{{in}", "{{x}}"};
  EXPECT_EQ(expand_words(argv, {{"i"}, {"o"}, "d"}),
            (Words{"{in}", "a{out[0]}b", "{depfile}", "{i", "{{x}}"}));
}

TEST(CommandText, WhatIsUsedIsTold) {
  CommandUse use;
  (void)expand_words(Words{"{out[1]}"}, {{}, {"x", "y"}, ""}, &use);
  EXPECT_EQ(use.out, (std::vector<bool>{false, true}));
  EXPECT_FALSE(use.depfile);
  (void)expand_words(Words{"{out}", "-MF{depfile}"}, {{}, {"x", "y"}, "d"}, &use);
  EXPECT_EQ(use.out, (std::vector<bool>{true, true}));
  EXPECT_TRUE(use.depfile);
}

TEST(CommandText, WordsThatStandForNothing) {
  EXPECT_THROW((void)expand_words(Words{"-I{in}"}, two), stook::InvalidArgument);
  EXPECT_THROW((void)expand_words(Words{"{in[2]}"}, two), stook::InvalidArgument);
  EXPECT_THROW((void)expand_words(Words{"{out[1]}"}, two), stook::InvalidArgument);
}

TEST(CommandText, ShownAsAShellWouldTakeIt) {
  EXPECT_EQ(command_line_text(Words{"cc", "-DX=1", "a b", "it's", ""}),
            "cc -DX=1 'a b' 'it'\\''s' ''");
  EXPECT_LT(command_line_text(Words(10000, "word")).size(), 2100u);
}

}  // namespace
