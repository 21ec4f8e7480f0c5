"""The verbs with options of their own, one per file: parse the words, call the task, print what came out.

`study_words` is no verb; it holds the words that studies share.

Heavy imports happen after the words have been parsed, so that `--help` and mistakes are answered at once.
"""
