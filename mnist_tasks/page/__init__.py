"""The page in Airflow's UI, without Airflow: `data` reads what a run left in S3, `render` makes HTML of it.

`plugins/mnist_page.py` joins it to Airflow: routes, login, and what Airflow's own database knows of a run. The rest is
pure: `cost` adds up, `charts` draws, `cards` and `texts` put it in words.
"""
