# check_sweep.cmake - what issue and header promise of digits_sweep: how many tasks of each class
# run after each kind of change, and that the figures are the same every time.
#   cmake -D PROGRAM=... -D DATA=digits.csv -D WORK=DIRECTORY -P check_sweep.cmake
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
set(data ${WORK}/digits.csv)
file(READ ${DATA} text)
file(WRITE ${data} "${text}")

# sweep(WHAT [ARGS...]): runs, leaves stdout in `output` and the statistics in `stats`.
macro(sweep what)
  execute_process(COMMAND ${PROGRAM} --data ${data} -o ${WORK}/cache --stats ${WORK}/stats.json ${ARGN}
                  RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE errors TIMEOUT 280)
  if(NOT status STREQUAL 0)
    message(FATAL_ERROR "${what}: ended with ${status}:\n${output}${errors}")
  endif()
  file(READ ${WORK}/stats.json stats)
endmacro()

# expect(WHAT CLASS N...): N tasks of CLASS ran in the last run.
function(expect what)
  while(ARGN)
    list(POP_FRONT ARGN class wanted)
    string(JSON ran ERROR_VARIABLE none GET ${stats} by_class ${class} ran)
    if(none)
      set(ran 0)
    endif()
    if(NOT ran EQUAL wanted)
      message(SEND_ERROR "${what}: ${ran} ${class} tasks ran, not ${wanted}:\n${stats}")
    endif()
  endwhile()
endfunction()

# The accuracy it prints, as a number of ten-thousandths.
function(accuracy_of text out)
  string(REGEX MATCH "not trained on: 0\\.([0-9][0-9][0-9][0-9])" match "${text}")
  set(${out} "${CMAKE_MATCH_1}" PARENT_SCOPE)
endfunction()

sweep("a fresh cache" -j 2)
expect("a fresh cache" Load 1 Fold 5 Train 240 Score 240 Select 1 Report 1)
set(first "${output}")
accuracy_of("${first}" accuracy)
if(NOT accuracy GREATER 9300)
  message(SEND_ERROR "the accuracy is not above 0.93:\n${first}")
endif()

sweep("nothing changed")
expect("nothing changed" Load 0 Fold 0 Train 0 Score 0 Select 0 Report 0 Main 1)
if(NOT output STREQUAL first)
  message(SEND_ERROR "nothing changed, but the output did:\n${output}")
endif()

file(TOUCH ${data})
sweep("a touched file")
expect("a touched file" Load 0 Train 0 Report 0)

file(WRITE ${data} "# a comment\n${text}")
sweep("a comment added")
expect("a comment added" Load 1 Fold 0 Train 0 Score 0 Select 0 Report 0)

sweep("one learning rate changed" --learning-rates "[0.03,0.1,0.5,1.0]")
expect("one learning rate changed" Load 0 Fold 0 Train 60 Score 60 Select 1 Report 1)

# The first pixel of the first image: it lies in one fold, which 4 of 5 models train on.
string(SUBSTRING "${text}" 1 -1 rest)
file(WRITE ${data} "16${rest}")
sweep("a pixel changed")
expect("a pixel changed" Load 1 Fold 5 Train 192 Score 240)

file(WRITE ${data} "${text}")
file(REMOVE_RECURSE ${WORK}/cache)
sweep("one thread" -j 1)
string(REGEX REPLACE "\npicture: .*" "" first_figures "${first}")
string(REGEX REPLACE "\npicture: .*" "" figures "${output}")
if(NOT figures STREQUAL first_figures)
  message(SEND_ERROR "one thread gives other figures:\n${output}")
endif()
