"""Background thresholds chosen without masks: one statistic per file, and the choice by the average of one of them."""
