// report.h - what the sweep found, as a table and as a picture.
// Unaware of stook. Texts from outside (file names) are escaped wherever they are shown.
#pragma once

#include "examples/digits_sweep/sweep.h"

#include <string>

// A table for a terminal: a block for each number of epochs, accuracies in per cent.
std::string text_table(const Grid& grid, const Choice& choice);

// A heat map, a panel for each number of epochs: an SVG document that refers to nothing outside.
std::string svg_picture(const Grid& grid, const Choice& choice);

// The picture and the table on one page, without scripts and without anything to load.
std::string html_page(const Grid& grid, const Choice& choice);
